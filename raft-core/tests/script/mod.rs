//! Scripts: a small language in which a whole message flow is written down, command by command, with what must come of it.
//!
//! A line that begins with `> ` is a command; the lines up to the next command, comment (`#`) or blank line are exactly
//! what it must bring about. Nothing happens that no command asks for: no time passes, nothing is delivered or saved.
//!
//! ```text
//! cluster 1 2 3 [window=N] [pending=N] [trailing=N] [keep=1]   founders, started; `keep`: what is applied survives a crash
//! disk 2 term=3 [vote=1] [commit=1] terms=1,1,3 [snapshot=2 [base=1]]   node 2 starts again, from such a log
//! elect 1                 node 1 is made leader and everything settles, silently
//! settle                  saves complete and messages arrive until nothing moves, silently
//! timeout 1               time passes until node 1's deadline, and it is told
//! wait 100ms              time passes; nobody is told
//! deliver 1->2 [2]        what is under way on a link (or only its second message); `*` is any node
//! again 1->2              the message delivered last on the link arrives once more
//! drop 1->2               what is under way on the link is lost
//! inject 2->1 MESSAGE     a message nobody sent
//! save 1 | saves 1        the oldest save completes | all of them
//! propose 1 a b | read 1  requests, numbered p1, p2, .. and r1, r2, ..; one batch
//! unreachable 1 2         node 1's transport could not reach node 2
//! take 1 [4]              a snapshot of what node 1 has applied (or of the state after entry 4) is taken and staged
//! claim 1 2-9             node 1 is told that it has taken a snapshot that ends with 2-9
//! stage 1->2              the snapshot under way on a link arrives and is staged
//! forge 1->2 term=3 terms=1,1,3   a snapshot nobody sent is staged: of such a log
//! sent 1->2 | unsent 1->2 the sender learns that it arrived, or that it did not
//! restored 2              node 2's state machine is restored
//! compacted 1 2           a read for node 2 met compaction
//! crash 1 [2]             loses its memory, and every save under way but the first two
//! restart 1
//! status 1 | log 1 | peers 1 | pending 1
//! ```

mod notation;
mod world;

use notation::message;
use world::World;

/// Runs a script and compares.
///
/// # Panics
/// If anything differs, with the whole script as it ran.
pub(crate) fn run(name: &str, text: &str) {
    let mut world = World::default();
    let (mut ran, mut differs) = (String::new(), None);
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        ran += &format!("{line}\n");
        let Some(command) = line.strip_prefix("> ") else {
            assert!(line.is_empty() || line.starts_with('#'), "{name}:{}: not a command: {line}", number + 1);
            continue;
        };
        let got = command_in(&mut world, command);
        ran.extend(got.iter().map(|line| format!("{line}\n")));
        let mut expected = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.is_empty() && !line.starts_with(['>', '#'])) {
            expected.push(line.to_owned());
        }
        if got != expected && differs.is_none() {
            let list = |lines: &[String]| lines.iter().map(|line| format!("  {line}\n")).collect::<String>();
            differs = Some(format!(
                "{name}:{}: after `{command}`\nexpected\n{}found\n{}",
                number + 1,
                list(&expected),
                list(&got)
            ));
        }
    }
    if let Some(differs) = differs {
        panic!("{differs}\nthe script as it ran:\n\n{ran}");
    }
}

fn command_in(world: &mut World, command: &str) -> Vec<String> {
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let args: Vec<&str> = rest.split_whitespace().collect();
    let node = || notation::node(args[0]);
    match verb {
        "cluster" => world.found(&args),
        "disk" => world.replace_disk(node(), &args[1..]),
        "elect" => world.elect(node()),
        "settle" => world.settle(),
        "timeout" => world.time_out(node()),
        "wait" => world.wait(notation::millis(args[0])),
        "deliver" => world.deliver(notation::link(args[0]), args.get(1).map(|nth| nth.parse().expect("a position"))),
        "again" => world.deliver_again(notation::link(args[0])),
        "drop" => world.drop_link(notation::link(args[0])),
        "inject" => world.inject(message(rest)),
        "save" => world.save(node(), 1),
        "saves" => world.save(node(), usize::MAX),
        "propose" => world.propose(node(), &args[1..]),
        "read" => world.read(node()),
        "unreachable" => world.unreachable(node(), notation::node(args[1])),
        "take" => world.take(node(), args.get(1).map(|index| index.parse().expect("an index"))),
        "claim" => world.claim(node(), notation::entry_id(args[1])),
        "stage" => world.stage(notation::link(args[0])),
        "forge" => {
            let fields = args[1..].iter().filter_map(|arg| arg.split_once('=')).collect();
            world.forge(notation::link(args[0]), &fields);
        }
        "sent" => world.sent(notation::link(args[0]), true),
        "unsent" => world.sent(notation::link(args[0]), false),
        "restored" => world.restored(node()),
        "compacted" => world.compacted(node(), notation::node(args[1])),
        "crash" => world.crash(node(), args.get(1).map_or(0, |kept| kept.parse().expect("a number"))),
        "restart" => world.restart(node()),
        "status" => world.status(node()),
        "log" => world.log(node()),
        "peers" => world.peers(node()),
        "pending" => world.pending(node()),
        _ => panic!("no such command: {command}"),
    }
    world.take_trace()
}
