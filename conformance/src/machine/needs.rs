//! The rule for a test that needs what a machine may lack: it says so, or fails where it must not be skipped.

/// Says that `test` is skipped for want of `probe`, on a line that can be counted: `SKIPPED <test>: no <probe> (reason)`.
///
/// # Panics
/// Where `ERAFT_REQUIRE` names the probe.
pub fn skip(test: &str, probe: &str, reason: &str) {
    demand(probe, reason);
    println!("SKIPPED {test}: no {probe} ({})", reason.trim());
}

/// For want of `probe` less is tested, which is no reason to fail:
///
/// # Panics
/// unless `ERAFT_REQUIRE`, a list of probes separated by commas, names it.
pub fn demand(probe: &str, reason: &str) {
    let required = std::env::var("ERAFT_REQUIRE").is_ok_and(|list| names(&list, probe));
    assert!(!required, "{probe} is required, and not here: {}", reason.trim());
}

fn names(list: &str, probe: &str) -> bool {
    list.split(',').any(|name| name.trim() == probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_required_by_its_whole_name() {
        assert!(names("redis-tools, loop-ext4", "loop-ext4"));
        assert!(!names("loop-ext4-fast", "loop-ext4"));
        assert!(!names("", "loop-ext4"));
    }
}
