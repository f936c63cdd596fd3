//! The bare Debian: made once by `debootstrap`, and never run in, only copied.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::room;

const SUITE: &str = "bookworm";
/// What README asks for beside a Rust toolchain: a compiler and linker, git, and who to trust on the network.
const PACKAGES: &str = "build-essential,git,ca-certificates";
const USUAL_MIRROR: &str = "http://deb.debian.org/debian";

/// The directory of the Debian, which is made where it is not there.
pub(super) fn found_or_made(dir: &Path, mirror: Option<&str>, renew: bool) -> Result<PathBuf> {
    let base = dir.join(format!("{SUITE}-minbase,{PACKAGES}"));
    if base.exists() && !renew {
        println!("as an earlier run made it: {}", base.display());
        return Ok(base);
    }
    let mirror = mirror.map_or_else(machines_mirror, str::to_owned);
    // Under another name until it is whole: what a run left that was ended is never taken for a Debian.
    let partial = dir.join("partial");
    room::remove(&partial)?;
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}"), SUITE]).arg(&partial).arg(&mirror);
    if let Some(proxy) = apt_proxy() {
        debootstrap.env("http_proxy", proxy);
    }
    println!("debootstrap {SUITE} from {mirror}");
    let status = debootstrap.status().context("debootstrap did not start")?;
    ensure!(
        status.success(),
        "debootstrap failed ({status}): see above, and {}",
        partial.join("debootstrap").display()
    );
    room::remove(&base)?;
    fs::rename(&partial, &base).with_context(|| format!("cannot rename {}", partial.display()))?;
    Ok(base)
}

/// Where this machine's apt gets its packages, so that it works behind a mirror.
fn machines_mirror() -> String {
    let mut lists = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    lists.extend(parts.map(|part| part.path()));
    lists.sort();
    let texts: Vec<String> = lists.iter().filter_map(|list| fs::read_to_string(list).ok()).collect();
    texts.iter().find_map(|text| mirror_in(text)).unwrap_or_else(|| USUAL_MIRROR.to_owned())
}

/// The first archive in a list of sources, of either format, that is Debian's own.
fn mirror_in(text: &str) -> Option<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let sources = lines.filter(|line| line.starts_with("URIs:") || line.starts_with("deb "));
    let mut uris = sources.flat_map(str::split_whitespace).filter(|word| word.contains("://"));
    uris.find(|uri| uri.trim_end_matches('/').ends_with("/debian")).map(str::to_owned)
}

/// The proxy that apt is told of by its own configuration; a variable of the environment is inherited anyway.
fn apt_proxy() -> Option<String> {
    let told = Command::new("apt-config").args(["dump", "--format", "%v", "Acquire::http::Proxy"]).output().ok()?;
    let proxy = String::from_utf8(told.stdout).ok()?.trim().to_owned();
    (!proxy.is_empty() && proxy != "DIRECT").then_some(proxy)
}

#[cfg(test)]
mod tests {
    use super::mirror_in;

    #[test]
    fn the_mirror_is_found_in_both_formats() {
        let deb822 =
            "Types: deb\n# http://snapshot.example/debian\nURIs: http://mirror.example/debian/\nSuites: bookworm\n";
        assert_eq!(mirror_in(deb822).as_deref(), Some("http://mirror.example/debian/"));
        let one_line =
            "deb http://s.example/debian-security x main\ndeb [signed-by=/k] https://m.example/debian x main\n";
        assert_eq!(mirror_in(one_line).as_deref(), Some("https://m.example/debian"));
        assert_eq!(mirror_in("deb https://packages.example/apt other main\n"), None);
    }
}
