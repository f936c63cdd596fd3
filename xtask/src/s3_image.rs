//! `cargo xtask s3-image`: the stand-in as a container image, made here, for machines that reach no registry.
//!
//! The program is linked statically, so the image holds it and an empty directory, and nothing else. It bears a name of its own, never
//! that of a server which it is not. `eraft_s3_servers::fixture` takes it where MinIO's image is not to be had.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo;

/// As `eraft_s3_servers::container` knows it.
pub(crate) const OWN_IMAGE: &str = "eraft-s3-stand-in:dev";
/// The same of MinIO's.
pub(crate) const MINIO_IMAGE: &str = "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z";

const PROGRAM: &str = "eraft-s3-stand-in";

/// The target is named, or else the flags would be those of build scripts and procedural macros as well, which are libraries.
const STATIC: &str = "-C target-feature=+crt-static -C strip=symbols";

/// Builds the program and imports it.
pub(crate) fn run() -> Result<bool> {
    let host = host()?;
    let mut build = cargo::command(&cargo::root());
    build.args(["build", "--package", PROGRAM, "--bin", PROGRAM, "--target", &host]).env("RUSTFLAGS", STATIC);
    if !build.stdin(Stdio::null()).status().context("cargo did not start")?.success() {
        bail!("the stand-in could not be built: see above");
    }
    let earlier = id_of(OWN_IMAGE);
    import(&cargo::target_dir().join(host).join("debug"))?;
    let now = id_of(OWN_IMAGE).context("the image was imported, and is not there")?;
    if let Some(earlier) = earlier.filter(|earlier| *earlier != now) {
        // Nameless now; where a container still uses it, it stays.
        let _ = Command::new("docker").args(["rmi", &earlier]).output();
    }
    println!("{OWN_IMAGE} is made");
    Ok(true)
}

/// Whether the engine answers and has an image that the tests can use; which one, or why not.
pub(crate) fn probe() -> Result<String, String> {
    let output = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    let output = output.map_err(|error| format!("no docker: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the engine does not answer: {}", text.lines().last().unwrap_or("no message")));
    }
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let told = std::env::var("CONFORMANCE_S3_IMAGE").ok();
    let images = told.as_deref().into_iter().chain([MINIO_IMAGE, OWN_IMAGE]);
    match images.into_iter().find(|image| id_of(image).is_some()) {
        Some(image) => Ok(format!("Docker {version} with {image}")),
        None => Err(format!("Docker {version} has no image of an S3 server")),
    }
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc did not start")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).context("rustc named no host")
}

/// What Docker calls the image of this name, where there is one.
fn id_of(image: &str) -> Option<String> {
    let output = Command::new("docker").args(["image", "inspect", "--format", "{{.Id}}", image]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn import(directory: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--owner=0", "--group=0", "--directory"]).arg(directory).arg(PROGRAM);
    let mut tar = tar.stdout(Stdio::piped()).spawn().context("tar did not start")?;
    let archive = tar.stdout.take().context("tar's output")?;
    let entrypoint = format!("ENTRYPOINT [\"/{PROGRAM}\"]");
    let mut docker = Command::new("docker");
    docker.args(["import", "--change", &entrypoint, "--change", "EXPOSE 9000", "--change", "VOLUME /data"]);
    let imported = docker.args(["-", OWN_IMAGE]).stdin(archive).stdout(Stdio::null()).status();
    let packed = tar.wait().context("waiting for tar")?;
    if !packed.success() || !imported.context("docker did not start")?.success() {
        bail!("the image could not be imported: see above");
    }
    Ok(())
}
