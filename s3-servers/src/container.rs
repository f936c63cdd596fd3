//! A server in a container: the stand-in's own image, or MinIO's, or any that takes its keys in the same way.
//!
//! The container's port is mapped to one of 127.0.0.1 that stays the same when it is stopped and started again. It is removed when it
//! is dropped, and also when this process ends in any other way.

use std::{
    future::Future,
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use testcontainers::{
    ContainerAsync, GenericImage, ImageExt,
    core::{IntoContainerPort, WaitFor},
    runners::AsyncRunner,
};
use tokio::runtime::Runtime;

use crate::{Access, lifeline::Lifeline, ports::free_port};

/// The image that `cargo xtask s3-image` makes.
pub const OWN_IMAGE: &str = "eraft-s3-stand-in:dev";
/// MinIO's last official image.
pub const MINIO_IMAGE: &str = "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z";

/// The port that every one of these images serves.
const PORT: u16 = 9000;
/// A registry that does not answer must not hold up a test for longer.
const PULL_WITHIN: Duration = Duration::from_secs(120);

/// A container that runs, until it is dropped or this process ends.
#[derive(Debug)]
pub struct Container {
    access: Access,
    /// There until it is dropped.
    container: Option<ContainerAsync<GenericImage>>,
    /// Removes it where nothing is dropped.
    _lifeline: Lifeline,
}

impl Container {
    /// Starts one of this image, which is there already.
    ///
    /// # Errors
    /// Why it does not serve.
    pub fn start(image: &str) -> Result<Container, String> {
        let (name, tag) = image.rsplit_once(':').ok_or_else(|| format!("{image}: no tag"))?;
        let port = free_port().map_err(|error| error.to_string())?;
        let access = Access::local(port);
        let called = format!("eraft-s3-{}-{port}", std::process::id());
        let lifeline = Lifeline::new("docker rm --force --volumes \"$1\"", &[&called]).map_err(|e| e.to_string())?;
        let request = GenericImage::new(name, tag)
            .with_exposed_port(PORT.tcp())
            .with_wait_for(WaitFor::Nothing)
            .with_container_name(&called)
            .with_mapped_port(port, PORT.tcp())
            .with_cmd(command(image))
            .with_env_var("MINIO_ROOT_USER", &access.access_key)
            .with_env_var("MINIO_ROOT_PASSWORD", &access.secret_key)
            .with_env_var("ACCESS_KEY", &access.access_key)
            .with_env_var("SECRET_KEY", &access.secret_key)
            .with_host_config_modifier(|host| {
                let bindings = host.port_bindings.iter_mut().flat_map(|ports| ports.values_mut());
                for binding in bindings.flatten().flatten() {
                    binding.host_ip = Some("127.0.0.1".into());
                }
            });
        let container = block_on(async { request.start().await }).map_err(|error| format!("{image}: {error}"))?;
        access.make_bucket()?;
        Ok(Container { access, container: Some(container), _lifeline: lifeline })
    }

    /// How to use its bucket.
    pub fn access(&self) -> &Access {
        &self.access
    }

    fn running(&self) -> &ContainerAsync<GenericImage> {
        self.container.as_ref().expect("it is there until it is dropped")
    }

    /// Ends the server as `docker stop` does, at once where it does not listen; what it has written stays.
    pub fn stop(&self) {
        block_on(self.running().stop_with_timeout(Some(1))).expect("the container stops");
    }

    /// Starts it again, at the same port, and returns when it answers.
    pub fn start_again(&self) {
        block_on(self.running().start()).expect("the container starts again");
        self.access.make_bucket().expect("the server answers again");
    }

    /// Freezes the server: connections stay open, and nothing is answered.
    pub fn pause(&self) {
        block_on(self.running().pause()).expect("the container pauses");
    }

    /// Lets it go on.
    pub fn unpause(&self) {
        block_on(self.running().unpause()).expect("the container goes on");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(container) = self.container.take() {
            // Where Docker fails at it, the lifeline tries as well.
            let _ = block_on(container.rm());
        }
    }
}

/// What the image's program is told: each takes the directory and the address in its own way.
fn command(image: &str) -> Vec<String> {
    let words: &[&str] =
        if image == OWN_IMAGE { &["/data", "0.0.0.0:9000"] } else { &["server", "/data", "--address", ":9000"] };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Whether Docker answers; if not, why.
///
/// # Errors
/// Why it does not.
pub fn engine() -> Result<(), String> {
    docker(&["version", "--format", "{{.Server.Version}}"], PULL_WITHIN).map(drop)
}

/// Whether the image is on this machine.
pub fn has(image: &str) -> bool {
    docker(&["image", "inspect", "--format", "{{.Id}}", image], PULL_WITHIN).is_ok()
}

/// Fetches the image.
///
/// # Errors
/// Why the registry does not give it.
pub fn pull(image: &str) -> Result<(), String> {
    docker(&["pull", "--quiet", image], PULL_WITHIN).map(drop)
}

fn docker(arguments: &[&str], within: Duration) -> Result<(), String> {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("docker: {error}"))?;
    let give_up = Instant::now() + within;
    while child.try_wait().map_err(|error| format!("docker: {error}"))?.is_none() {
        if Instant::now() > give_up {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("docker {}: nothing within {} s", arguments.join(" "), within.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().map_err(|error| format!("docker: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("docker failed without a word").to_owned())
}

/// Waits for what Docker does, on a runtime of its own: the caller may be within another one.
fn block_on<F>(work: F) -> F::Output
where
    F: Future + Send,
    F::Output: Send,
{
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("docker").enable_all().build().expect("a runtime for Docker")
    });
    std::thread::scope(|scope| {
        scope.spawn(|| runtime.block_on(work)).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
