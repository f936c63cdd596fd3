//! Edits of the manifest: which of them are written under one sync.
//!
//! A flush writes an edit for each family whose memory it empties, in no particular order, and one that lets the log go, as one
//! *atomic group*: each edit ends with the number of those that are still to come. The log that a group makes dispensable is removed only
//! after the sync of all of it. So where that log is still there, a group that has lost an edit was torn.

/// An edit that is of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// How many more come.
    pub(super) left: u8,
    /// RocksDB's log from here on is needed still; what is older is not, once the group is whole.
    pub(super) log: u64,
}

/// What an edit is of a group; `None` where it stands alone.
pub(super) fn member(edit: &[u8]) -> Option<Member> {
    // At the end: tag 200 and a family, or tag 8200 and which logs go; then tag 300 and a count. All are varints, the last ones small.
    let (rest, left) = match edit {
        [rest @ .., 0xac, 0x02, left @ 0..0x80] => (rest, *left),
        _ => return None,
    };
    let of_a_family = matches!(rest, [.., 0xc8, 0x01, 0..0x80]);
    let of_the_log = (1..=11).any(|bytes| {
        let length = bytes - 1;
        let tail = rest.len().checked_sub(bytes + 2).and_then(|at| rest.get(at..));
        matches!(tail, Some([0x88, 0x40, found, ..]) if usize::from(*found) == length)
    });
    let log = log(edit).filter(|_| of_a_family || of_the_log)?;
    Some(Member { left, log })
}

/// The log that an edit begins by naming: tag 2, of its family, or tag 10, of all.
fn log(mut edit: &[u8]) -> Option<u64> {
    const FAMILYS_LOG: u64 = 2;
    const OLDEST_LOG: u64 = 10;
    const NUMBERS: [u64; 5] = [FAMILYS_LOG, 3, 4, 9, OLDEST_LOG];
    loop {
        let tag = number(&mut edit).filter(|tag| NUMBERS.contains(tag))?;
        let value = number(&mut edit)?;
        if tag == FAMILYS_LOG || tag == OLDEST_LOG {
            return Some(value);
        }
    }
}

/// Takes a varint off the front: seven bits a byte, the lowest first.
pub(super) fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As RocksDB has written them at a close.
    #[test]
    fn an_edit_tells_its_place_in_its_group() {
        let of_a_family = [2, 0x94, 1, 9, 0, 3, 0x17, 4, 13, 103, 0, 9, 9, 0xc8, 1, 2, 0xac, 2, 2];
        assert_eq!(member(&of_a_family), Some(Member { left: 2, log: 0x94 }));
        let of_the_log = [9, 0, 3, 0x17, 10, 0x14, 4, 15, 0x88, 0x40, 1, 0x14, 0xac, 2, 0];
        assert_eq!(member(&of_the_log), Some(Member { left: 0, log: 0x14 }));
    }

    #[test]
    fn an_edit_that_stands_alone_is_of_no_group() {
        let of_a_new_log = [9, 0, 3, 0x15, 4, 1, 0x87, 0x40, 6, 12, 2, 0xa0, 0xac, 2, 1];
        let of_a_merge = [9, 0, 3, 0x15, 4, 1, 0xc8, 1, 2];
        for alone in [&of_a_new_log[..], &of_a_merge, &[0xac, 2, 0], &[]] {
            assert_eq!(member(alone), None, "{alone:02x?}");
        }
    }
}
