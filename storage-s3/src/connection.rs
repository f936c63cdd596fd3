//! The way to a bucket: where it is, and under which rules. Never with which credentials: those come from the environment, a
//! profile file or the platform, and stay inside the client.
//!
//! Only what is named here is taken from the environment, so that no variable turns TLS, signatures or preconditions off.

use std::{env, fmt, sync::Arc};

use eraft_core::{Result, StorageError};
use object_store::{
    ClientOptions, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
};

use crate::{Bucket, credentials};

/// What the platform tells a process by its environment: its region, and where its credentials are to be had.
const PLATFORM: [&str; 9] = [
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// A bucket of S3, or of what speaks like it.
///
/// ```
/// use eraft_storage_s3::BucketOptions;
///
/// // A server of one's own, without TLS: only where that is said.
/// let mut options = BucketOptions::new("snapshots");
/// options.endpoint = Some("http://127.0.0.1:9000".into());
/// assert!(options.connect().is_err());
/// options.allow_http = true;
/// assert!(options.connect().is_ok()); // nothing is asked of the server yet
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BucketOptions {
    /// Its name.
    pub bucket: String,
    /// The server, as a URL; `None`: that of the region at AWS.
    pub endpoint: Option<String>,
    /// The region; `None`: what `AWS_REGION` or `AWS_DEFAULT_REGION` says, else us-east-1.
    pub region: Option<String>,
    /// Whether the endpoint may be plain http: then whoever is on the way reads and changes everything.
    pub allow_http: bool,
    /// Whether the bucket is a part of the host's name rather than of the path.
    pub virtual_hosted_style: bool,
    /// How the server shall encrypt what it keeps.
    pub encryption: Encryption,
    /// The profile in the file of credentials; `None`: what `AWS_PROFILE` says, else "default".
    pub profile: Option<String>,
}

/// How the server encrypts what it keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// As the bucket is set up.
    #[default]
    BucketDefault,
    /// With keys of the server's own (SSE-S3).
    Aes256,
    /// With a key of its key management (SSE-KMS).
    Kms {
        /// Which key; `None`: the account's default.
        key_id: Option<String>,
    },
}

/// Without what an endpoint must not hold: options are shown before they are checked.
impl fmt::Debug for BucketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BucketOptions { bucket, endpoint, region, allow_http, virtual_hosted_style, encryption, profile } = self;
        let endpoint = endpoint.as_deref().map(|endpoint| if holds_more(endpoint) { "not shown" } else { endpoint });
        f.debug_struct("BucketOptions")
            .field("bucket", bucket)
            .field("endpoint", &endpoint)
            .field("region", region)
            .field("allow_http", allow_http)
            .field("virtual_hosted_style", virtual_hosted_style)
            .field("encryption", encryption)
            .field("profile", profile)
            .finish()
    }
}

impl BucketOptions {
    /// A bucket at AWS, in the region that the environment says.
    pub fn new(bucket: impl Into<String>) -> BucketOptions {
        BucketOptions {
            bucket: bucket.into(),
            endpoint: None,
            region: None,
            allow_http: false,
            virtual_hosted_style: false,
            encryption: Encryption::default(),
            profile: None,
        }
    }

    /// A client for it. Nothing is asked of the server yet.
    ///
    /// Credentials are taken from `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; else from the
    /// profile in the file that `AWS_SHARED_CREDENTIALS_FILE` names, or in `~/.aws/credentials`; else from the platform: web
    /// identity, container, instance.
    ///
    /// # Errors
    /// `Invalid` for an endpoint without TLS where that is not allowed, a profile that is named and is not there, and what
    /// cannot be a bucket or a URL.
    pub fn connect(&self) -> Result<Arc<dyn Bucket>> {
        self.connect_by(&|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn connect_by(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Arc<dyn Bucket>> {
        let builder = self.builder(environment)?;
        let s3 = builder.build().map_err(|error| invalid(format!("the bucket {:?}: {error}", self.bucket)))?;
        Ok(Arc::new(s3))
    }

    fn builder(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<AmazonS3Builder> {
        // Its own limit on a call would cut what is long for a reason; calls are timed, and repeated, by who makes them.
        let client = ClientOptions::new().with_allow_http(self.allow_http).with_timeout_disabled();
        let mut builder = AmazonS3Builder::new();
        for name in PLATFORM {
            if let Some(value) = environment(name) {
                builder = builder.with_config(key(&name.to_ascii_lowercase())?, value);
            }
        }
        if let Some(found) = credentials::find(self.profile.as_deref(), environment)? {
            builder = builder.with_access_key_id(found.key_id).with_secret_access_key(found.secret);
            if let Some(token) = found.token {
                builder = builder.with_token(token);
            }
        }
        if let Some(endpoint) = &self.endpoint {
            self.check_endpoint(endpoint)?;
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        builder = match &self.encryption {
            Encryption::BucketDefault => builder,
            Encryption::Aes256 => builder.with_config(key("aws_server_side_encryption")?, "AES256"),
            Encryption::Kms { key_id: None } => builder.with_config(key("aws_server_side_encryption")?, "aws:kms"),
            Encryption::Kms { key_id: Some(key_id) } => builder.with_sse_kms_encryption(key_id),
        };
        Ok(builder
            .with_client_options(client)
            .with_bucket_name(&self.bucket)
            .with_virtual_hosted_style_request(self.virtual_hosted_style)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() }))
    }

    fn check_endpoint(&self, endpoint: &str) -> Result<()> {
        if holds_more(endpoint) {
            return Err(invalid(
                "the endpoint holds credentials or a query, and is not shown here; expected https://host or http://host, \
                 and credentials by the environment or a profile"
                    .to_owned(),
            ));
        }
        let (scheme, _) = endpoint.split_once("://").unwrap_or_default();
        match scheme.to_ascii_lowercase().as_str() {
            "https" => Ok(()),
            "http" if self.allow_http => Ok(()),
            "http" => Err(invalid(format!("the endpoint {endpoint} is without TLS: use https, or allow http"))),
            _ => Err(invalid(format!("the endpoint {endpoint:?} is no URL; expected https://host or http://host"))),
        }
    }
}

/// Whether an endpoint is more than a scheme, a host and a port: in what comes before an `@` or after a `?` may be credentials,
/// with a scheme in front of them or without.
fn holds_more(endpoint: &str) -> bool {
    endpoint.contains(['@', '?'])
}

/// A setting of `object_store`'s by its name.
fn key(name: &str) -> Result<AmazonS3ConfigKey> {
    name.parse().map_err(|error| invalid(format!("a setting that is not known: {error}")))
}

fn invalid(detail: String) -> StorageError {
    StorageError::invalid(detail)
}

#[cfg(test)]
mod tests {
    use eraft_core::{ClusterId, Expected, GroupId, MemoryDisk, MemoryStorage, NodeId};

    use super::*;
    use crate::{S3Options, S3Storage};

    const SECRETS: [&str; 3] = ["the-key-id", "the-secret", "the-token"];

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "AWS_ACCESS_KEY_ID" => SECRETS[0],
            "AWS_SECRET_ACCESS_KEY" => SECRETS[1],
            "AWS_SESSION_TOKEN" => SECRETS[2],
            "AWS_REGION" => "eu-central-1",
            // None of these may be obeyed.
            "AWS_ALLOW_HTTP" | "AWS_SKIP_SIGNATURE" | "AWS_ALLOW_INVALID_CERTIFICATES" => "true",
            "AWS_CONDITIONAL_PUT" => "disabled",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn credentials_come_from_the_environment_and_show_nowhere() {
        let options = BucketOptions::new("b");
        let builder = options.builder(&environment).unwrap();
        let value = |key| builder.get_config_value(&key);
        assert_eq!(value(AmazonS3ConfigKey::AccessKeyId).as_deref(), Some(SECRETS[0]));
        assert_eq!(value(AmazonS3ConfigKey::SecretAccessKey).as_deref(), Some(SECRETS[1]));
        assert_eq!(value(AmazonS3ConfigKey::Token).as_deref(), Some(SECRETS[2]));
        assert_eq!(value(AmazonS3ConfigKey::Region).as_deref(), Some("eu-central-1"));
        let shown = format!("{options:?} {}", options.connect_by(&environment).unwrap());
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[tokio::test]
    async fn a_store_shows_no_credentials() {
        let disk = MemoryDisk::new(1);
        MemoryStorage::create(&disk, ClusterId(1), NodeId(1)).unwrap();
        let local = MemoryStorage::open(&disk, Expected::any()).unwrap();
        let bucket = BucketOptions::new("b").connect_by(&environment).unwrap();
        let store = S3Storage::over(local, GroupId::ZERO, bucket, S3Options::default()).await.unwrap();
        let shown = format!("{store:?}");
        assert!(shown.contains("S3Storage") && SECRETS.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }

    #[test]
    fn what_the_platform_says_is_understood() {
        let builder =
            BucketOptions::new("b").builder(&|name| PLATFORM.contains(&name).then(|| name.to_owned())).unwrap();
        for name in PLATFORM {
            let value = builder.get_config_value(&key(&name.to_ascii_lowercase()).unwrap());
            assert!(value.is_some_and(|value| value.starts_with("AWS_")), "{name}");
        }
    }

    #[test]
    fn no_variable_turns_a_protection_off() {
        let builder = BucketOptions::new("b").builder(&environment).unwrap();
        assert_ne!(builder.get_config_value(&AmazonS3ConfigKey::SkipSignature).as_deref(), Some("true"));
        assert_ne!(builder.get_config_value(&AmazonS3ConfigKey::ConditionalPut).as_deref(), Some("disabled"));
        let allow_http = AmazonS3ConfigKey::Client(object_store::ClientConfigKey::AllowHttp);
        assert_eq!(builder.get_config_value(&allow_http).as_deref(), Some("false"));
    }

    #[test]
    fn an_endpoint_without_tls_or_with_credentials_is_refused() {
        let with = |endpoint: &str, allow_http| BucketOptions {
            endpoint: Some(endpoint.to_owned()),
            allow_http,
            ..BucketOptions::new("b")
        };
        for (endpoint, allow_http, taken) in [
            ("https://s3.example", false, true),
            ("http://s3.example", false, false),
            ("HTTP://s3.example", false, false),
            ("http://s3.example:9000/", true, true),
            ("s3.example:9000", true, false),
            ("https://user:pass@s3.example", true, false),
            ("user:pass@s3.example:9000", true, false),
            ("s3://user:pass@s3.example", true, false),
            ("ftp://s3.example?secret=pass", true, false),
        ] {
            let options = with(endpoint, allow_http);
            let connected = options.connect_by(&|_| None);
            assert_eq!(connected.is_ok(), taken, "{endpoint}");
            let text = connected.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!format!("{options:?} {text}").contains("pass"), "{options:?} {text}");
        }
    }

    #[test]
    fn the_server_is_told_how_to_encrypt() {
        let with = |encryption| {
            let options = BucketOptions { encryption, ..BucketOptions::new("b") };
            let builder = options.builder(&|_| None).unwrap();
            let value = |name: &str| builder.get_config_value(&name.parse().unwrap());
            (value("aws_server_side_encryption"), value("aws_sse_kms_key_id"))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(with(Encryption::BucketDefault), (None, None));
        assert_eq!(with(Encryption::Aes256), (some("AES256"), None));
        assert_eq!(with(Encryption::Kms { key_id: None }), (some("aws:kms"), None));
        assert_eq!(with(Encryption::Kms { key_id: some("k") }), (some("aws:kms"), some("k")));
    }
}
