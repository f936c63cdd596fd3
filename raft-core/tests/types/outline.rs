//! The outline answers as the whole log would.

use eraft_core::*;

use crate::{
    make::{conf, config, entries, entry, id},
    plain::{Plain, some_change},
};

fn of(base: EntryId, log: &[Entry]) -> LogOutline {
    let mut outline = LogOutline::new(base);
    outline.append(log).unwrap();
    outline
}

/// Every question, at every position around the log.
fn answers_as(outline: &LogOutline, plain: &Plain) {
    assert!(outline.is_valid(), "{outline:?}");
    assert_eq!(outline.base(), plain.base);
    assert_eq!(outline.last(), plain.last());
    assert_eq!(outline.last_index(), plain.last().index);
    assert_eq!(outline.first_index().0, plain.base.index.0 + 1);
    let (low, high) = (plain.base.index.0.saturating_sub(2), plain.last().index.0 + 3);
    for index in (low..=high).chain([0, u64::MAX]) {
        assert_eq!(outline.term(LogIndex(index)), plain.term(index), "the term at {index}");
        for term in 0..=plain.last().term.0 + 1 {
            assert_eq!(outline.contains(EntryId::new(term, index)), plain.term(index) == Some(Term(term)));
            let hint = plain.ids().into_iter().rfind(|id| id.index.0 <= index && id.term.0 <= term);
            let hint = hint.filter(|_| index >= plain.base.index.0);
            assert_eq!(outline.last_not_after(LogIndex(index), Term(term)), hint, "not after {term}-{index}");
        }
    }
    let configs = plain.entries.iter().filter(|entry| entry.kind == EntryKind::Config);
    let configs: Vec<_> = configs.map(|entry| (entry.index, codec::decode(&entry.payload).unwrap())).collect();
    assert_eq!(outline.configs(), configs);
    assert_eq!(outline, &of(plain.base, &plain.entries), "however it came about");
}

#[test]
fn an_outline_answers_as_the_whole_log_after_any_changes() {
    let mut reached = [0u32; 3];
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut plain, mut outline) = (Plain::blank(), LogOutline::default());
        for _ in 0..25 {
            let (change, publish) = some_change(&mut random, &plain);
            let Some(next) = plain.after(&change, publish) else { continue };
            match &change {
                LogChange::Keep => {}
                LogChange::Append(new) => outline.append(new).unwrap(),
                LogChange::CompactTo(id) => outline.compact_to(*id).unwrap(),
                LogChange::Reset { base } => outline.reset(*base),
            }
            reached[0] += u32::from(next.entries.len() < plain.entries.len() && matches!(change, LogChange::Append(_)));
            reached[1] += u32::from(next.base > plain.base);
            reached[2] += u32::from(outline.configs().len() > 1);
            plain = next;
            answers_as(&outline, &plain);
            let read: LogOutline = codec::decode(&codec::encode(&outline)).unwrap();
            assert_eq!(read, outline, "seed {seed}");
        }
    }
    assert!(reached.iter().all(|count| *count > 80), "cuts, compactions, several configurations: {reached:?}");
}

#[test]
fn an_append_replaces_from_its_first_index_on_and_keeps_what_precedes_it() {
    let mut outline = of(EntryId::ZERO, &[entries(1, 1, 3), entries(2, 4, 6)].concat());
    outline.append(&entries(3, 4, 4)).unwrap();
    assert_eq!(outline.last(), id(3, 4));
    assert_eq!(outline.term(LogIndex(3)), Some(Term(1)));
    assert_eq!(outline.term(LogIndex(5)), None);
    assert_eq!(outline, of(EntryId::ZERO, &[entries(1, 1, 3), entries(3, 4, 4)].concat()));
    outline.append(&entries(4, 3, 3)).unwrap();
    assert_eq!(outline.last(), id(4, 3));
    assert_eq!(outline.term(LogIndex(2)), Some(Term(1)));
    assert_eq!(outline, of(EntryId::ZERO, &[entries(1, 1, 2), entries(4, 3, 3)].concat()));
}

#[test]
fn a_replaced_configuration_is_gone_and_a_kept_one_stays() {
    let mut outline = of(EntryId::ZERO, &[config(1, 1, &[1]), config(1, 2, &[1, 2]), config(1, 3, &[1, 2, 3])]);
    outline.append(&entries(2, 3, 3)).unwrap();
    assert_eq!(outline.configs(), [(LogIndex(1), conf(&[1])), (LogIndex(2), conf(&[1, 2]))]);
    outline.compact_to(id(1, 1)).unwrap();
    assert_eq!(outline.configs(), [(LogIndex(2), conf(&[1, 2]))]);
    outline.compact_to(id(1, 2)).unwrap();
    assert_eq!(outline.configs(), []);
}

#[test]
fn a_refused_change_leaves_the_outline_alone() {
    let before = of(id(2, 5), &entries(3, 6, 9));
    let mut outline = before.clone();
    let bad_config = Entry { kind: EntryKind::Config, ..entry(3, 11) };
    let refused = [
        entries(3, 11, 11),
        entries(3, 5, 6),
        entries(1, 6, 6),
        entries(2, 10, 10),
        vec![entry(3, 10), entry(3, 12)],
        vec![entry(3, 10), entry(3, 10)],
        vec![entry(4, 10), entry(3, 11)],
        vec![entry(3, 10), bad_config],
        vec![config(3, 10, &[])],
    ];
    for new in refused {
        assert_eq!(outline.append(&new).unwrap_err().kind(), StorageErrorKind::Invalid, "{new:?}");
        assert_eq!(outline, before);
    }
    for target in [id(2, 4), id(2, 9), id(3, 10), id(3, 5)] {
        assert_eq!(outline.compact_to(target).unwrap_err().kind(), StorageErrorKind::Invalid, "{target}");
        assert_eq!(outline, before);
    }
}

#[test]
fn the_end_of_numbers_is_an_end() {
    let last = LogIndex::MAX.0;
    let mut outline = of(id(7, last - 2), &entries(7, last - 1, last));
    assert_eq!(outline.last_index(), LogIndex::MAX);
    assert!(outline.is_valid());
    let beyond = Entry::command(Term(7), LogIndex(u64::MAX), "");
    assert_eq!(outline.append(&[beyond]).unwrap_err().kind(), StorageErrorKind::Invalid);
    outline.compact_to(id(7, last)).unwrap();
    assert!(outline.is_valid());
    assert_eq!(outline.last(), id(7, last));
    assert!(!LogOutline::new(id(7, u64::MAX)).is_valid(), "no entry could follow");
}

/// The fields of an outline, as they are encoded: what a damaged or hostile source can say.
type Fields = (EntryId, LogIndex, Vec<(LogIndex, Term)>, Vec<(LogIndex, ConfState)>);

type Break = fn(&mut Fields);

#[test]
fn each_broken_invariant_is_noticed() {
    let good = || -> Fields {
        let terms = vec![(LogIndex(6), Term(2)), (LogIndex(8), Term(4))];
        (id(2, 5), LogIndex(9), terms, vec![(LogIndex(6), conf(&[1])), (LogIndex(9), conf(&[2]))])
    };
    let valid = |fields: &Fields| codec::decode::<LogOutline>(&codec::encode(fields)).unwrap().is_valid();
    assert!(valid(&good()));
    let break_it: [(&str, Break); 16] = [
        ("a run before the first entry", |fields| fields.2[0].0 = LogIndex(5)),
        ("entries without a term", |fields| fields.2[0].0 = LogIndex(7)),
        ("no runs for entries", |fields| fields.2.clear()),
        ("runs for no entries", |fields| fields.1 = LogIndex(5)),
        ("a run beyond the end", |fields| fields.2[1].0 = LogIndex(10)),
        ("runs out of order", |fields| fields.2.swap(0, 1)),
        ("two runs at one index", |fields| fields.2[1].0 = LogIndex(6)),
        ("two runs of one term", |fields| fields.2[1].1 = Term(2)),
        ("terms that go back", |fields| fields.2[1].1 = Term(1)),
        ("a term below the base's", |fields| fields.0.term = Term(3)),
        ("a configuration at the base", |fields| fields.3[0].0 = LogIndex(5)),
        ("a configuration beyond the end", |fields| fields.3[1].0 = LogIndex(10)),
        ("configurations out of order", |fields| fields.3.swap(0, 1)),
        ("a configuration that contradicts itself", |fields| fields.3[0].1.members.clear()),
        ("an index beyond the largest", |fields| fields.1 = LogIndex(u64::MAX)),
        ("a term before the first entry of all", |fields| *fields = (id(1, 0), LogIndex(0), vec![], vec![])),
    ];
    for (what, change) in break_it {
        let mut fields = good();
        change(&mut fields);
        assert!(!valid(&fields), "{what}");
    }
}
