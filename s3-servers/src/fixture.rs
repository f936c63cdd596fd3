//! The best S3 server that this machine has for a test, chosen once for each process.
//!
//! In this order: the one that `CONFORMANCE_S3_ENDPOINT` names; a container of the image that `CONFORMANCE_S3_IMAGE` names, else of
//! MinIO's, where that is on this machine or can be pulled; a container of the stand-in's own image (`cargo xtask s3-image`); the
//! stand-in in this process. One line says which it is, and why none that stands before it. Where `docker` is in `ERAFT_REQUIRE`,
//! there is no falling back to a server that runs in this process: not having a container is a failure then.

use std::sync::OnceLock;

use tempfile::TempDir;

use crate::{
    Access,
    container::{self, Container, MINIO_IMAGE, OWN_IMAGE},
    stand_in::StandIn,
};

/// A server, wherever it runs.
#[derive(Debug)]
pub enum Server {
    /// Somebody else's, that the environment names.
    Given(Access),
    /// In a container.
    Container(Box<Container>),
    /// In this process, with its directory.
    InProcess(StandIn, TempDir),
}

impl Server {
    /// How to use its bucket.
    pub fn access(&self) -> &Access {
        match self {
            Server::Given(access) => access,
            Server::Container(container) => container.access(),
            Server::InProcess(stand_in, _) => stand_in.access(),
        }
    }
}

/// This process's server, which all its tests share; each takes a prefix of its own.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let (server, why) = choose(&required());
        println!("S3: {why}");
        server
    })
}

fn required() -> String {
    std::env::var("ERAFT_REQUIRE").unwrap_or_default()
}

fn choose(required: &str) -> (Server, String) {
    if let Some(access) = given() {
        let why = format!("the server at {} (CONFORMANCE_S3_ENDPOINT), bucket {}", access.endpoint, access.bucket);
        return (Server::Given(access), why);
    }
    match in_a_container() {
        Ok((container, why)) => (Server::Container(Box::new(container)), why),
        Err(why_not) => in_this_process(required, &why_not),
    }
}

/// The last resort, which is none where Docker is required.
fn in_this_process(required: &str, why_not: &str) -> (Server, String) {
    let docker_is_required = required.split(',').any(|name| name.trim() == "docker");
    assert!(!docker_is_required, "docker is required here, and no S3 server runs in a container: {why_not}");
    let directory = tempfile::tempdir().expect("a directory for the stand-in");
    let stand_in = StandIn::start(directory.path()).expect("the stand-in starts in this process");
    (Server::InProcess(stand_in, directory), format!("the stand-in in this process: {why_not}"))
}

/// A bucket that is there, with keys as every S3 client finds them.
fn given() -> Option<Access> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let endpoint = variable("CONFORMANCE_S3_ENDPOINT")?;
    let needed =
        |name: &str| variable(name).unwrap_or_else(|| panic!("CONFORMANCE_S3_ENDPOINT is set, and {name} is not"));
    let access = Access {
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        bucket: variable("CONFORMANCE_S3_BUCKET").unwrap_or_else(|| "eraft-tests".into()),
        region: variable("AWS_REGION").unwrap_or_else(|| "us-east-1".into()),
        access_key: needed("AWS_ACCESS_KEY_ID"),
        secret_key: needed("AWS_SECRET_ACCESS_KEY"),
    };
    // Over TLS the bucket must be there: it is made by a client that knows plain HTTP alone.
    if access.endpoint.starts_with("http://") {
        access.make_bucket().expect("the server that CONFORMANCE_S3_ENDPOINT names has the bucket");
    }
    Some(access)
}

/// A container, and why it is of this image; or why there is none.
fn in_a_container() -> Result<(Container, String), String> {
    container::engine().map_err(|why| format!("no Docker ({why})"))?;
    let asked = std::env::var("CONFORMANCE_S3_IMAGE").ok().filter(|image| !image.is_empty());
    let image = asked.as_deref().unwrap_or(MINIO_IMAGE);
    let there = if container::has(image) { Ok(()) } else { container::pull(image) };
    let why_not = match there {
        Ok(()) => return Ok((Container::start(image)?, format!("{image} in a container"))),
        Err(why) => format!("no {image} ({why})"),
    };
    if asked.is_some() {
        return Err(why_not);
    }
    if container::has(OWN_IMAGE) {
        return Ok((Container::start(OWN_IMAGE)?, format!("{OWN_IMAGE} in a container: {why_not}")));
    }
    Err(format!("{why_not}, no {OWN_IMAGE} (cargo xtask s3-image makes it)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "docker is required here, and no S3 server runs in a container: no engine")]
    fn without_a_container_there_is_no_server_where_docker_is_required() {
        let _server = in_this_process("strace, docker", "no engine");
    }

    #[test]
    fn without_a_container_the_stand_in_serves_and_says_why_it_does() {
        let (server, why) = in_this_process("strace", "no engine");
        assert!(matches!(server, Server::InProcess(..)));
        assert_eq!(why, "the stand-in in this process: no engine");
    }
}
