//! Credentials that stand in the environment or in a profile file. Where there are none, the platform has them: web identity,
//! container or instance, which `object_store` asks by itself, and renews.
#![expect(clippy::disallowed_methods, reason = "this is where the operator's file of credentials is read")]

use std::{fs, io::ErrorKind, path::PathBuf};

use eraft_core::{Result, StorageError};

/// What requests are signed with. Without `Debug`: nothing can show it.
pub(crate) struct Credentials {
    pub(crate) key_id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

/// The first that are found: by the environment, else in the profile that is asked for.
///
/// # Errors
/// `Invalid` where a profile was named, by `profile` or by `AWS_PROFILE`, and has none; and where there is a file that
/// cannot be read, whoever named it: what it holds was meant to be used.
pub(crate) fn find(profile: Option<&str>, environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<Credentials>> {
    if let (Some(key_id), Some(secret)) = (environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY")) {
        return Ok(Some(Credentials { key_id, secret, token: environment("AWS_SESSION_TOKEN") }));
    }
    let named = profile.map(str::to_owned).or_else(|| environment("AWS_PROFILE"));
    let path = environment("AWS_SHARED_CREDENTIALS_FILE")
        .map(PathBuf::from)
        .or_else(|| environment("HOME").map(|home| PathBuf::from(home).join(".aws/credentials")));
    let text = path.as_ref().map(fs::read_to_string);
    if let (Some(path), Some(Err(error))) = (&path, &text)
        && !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
    {
        return Err(StorageError::invalid(format!(
            "the file of credentials {} cannot be read ({error}): let this user read it, or name another by \
             AWS_SHARED_CREDENTIALS_FILE",
            path.display()
        )));
    }
    let found = match &text {
        Some(Ok(text)) => in_profile(text, named.as_deref().unwrap_or("default")),
        _ => None,
    };
    match (found, named, path) {
        (None, Some(named), path) => {
            let file = path.map_or("no file of credentials".to_owned(), |path| path.display().to_string());
            let why = text.and_then(std::result::Result::err).map_or(String::new(), |error| format!(" ({error})"));
            Err(StorageError::invalid(format!("the profile {named:?} has no key and secret in {file}{why}")))
        }
        (found, _, _) => Ok(found),
    }
}

/// Out of the lines of `[profile]`, up to the next section.
fn in_profile(text: &str, profile: &str) -> Option<Credentials> {
    let header = format!("[{profile}]");
    let lines = text.lines().map(str::trim).skip_while(|line| *line != header).skip(1);
    let settings: Vec<_> =
        lines.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('=')).collect();
    let value = |name: &str| {
        let found = settings.iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    Some(Credentials {
        key_id: value("aws_access_key_id")?,
        secret: value("aws_secret_access_key")?,
        token: value("aws_session_token"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\n[default]\naws_access_key_id = D\naws_secret_access_key=DS\n\n[prod]\n\
                        AWS_ACCESS_KEY_ID = P=\naws_secret_access_key = PS\naws_session_token = PT\n[keyless]\nregion = x\n";

    #[test]
    fn a_profile_is_read_from_its_file_and_the_environment_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        fs::write(&path, FILE).unwrap();
        let found = |profile: Option<&str>, more: &'static [(&str, &str)]| {
            let file = path.display().to_string();
            let environment = move |name: &str| match more.iter().find(|(key, _)| *key == name) {
                Some((_, value)) => Some((*value).to_owned()),
                None => (name == "AWS_SHARED_CREDENTIALS_FILE").then(|| file.clone()),
            };
            find(profile, &environment).map(|found| found.map(|it| (it.key_id, it.secret, it.token)))
        };
        let some =
            |key: &str, secret: &str, token: Option<&str>| Some((key.into(), secret.into(), token.map(Into::into)));
        assert_eq!(found(None, &[]).unwrap(), some("D", "DS", None));
        assert_eq!(found(Some("prod"), &[]).unwrap(), some("P=", "PS", Some("PT")));
        assert_eq!(found(None, &[("AWS_PROFILE", "prod")]).unwrap(), some("P=", "PS", Some("PT")));
        let both = &[("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "ES")];
        assert_eq!(found(Some("prod"), both).unwrap(), some("E", "ES", None));
        for absent in ["keyless", "nobody"] {
            let error = found(Some(absent), &[]).unwrap_err().to_string();
            assert!(error.contains(absent) && !error.contains("DS") && !error.contains("PS"), "{error}");
        }
        assert_eq!(found(None, &[("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")]).unwrap(), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_and_one_that_is_not_there_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let broken = dir.path().join("credentials");
        fs::write(&broken, b"[default]\naws_access_key_id = \xff\n").unwrap();
        // A directory, and bytes that are no text: what root cannot read either.
        for path in [dir.path(), broken.as_path()] {
            let file = path.display().to_string();
            let found = find(None, &|name| (name == "AWS_SHARED_CREDENTIALS_FILE").then(|| file.clone()));
            let error = found.err().unwrap().to_string();
            assert!(error.contains(&file) && error.contains("cannot be read"), "{error}");
        }
        for home in [dir.path(), broken.as_path()] {
            let found = find(None, &|name| (name == "HOME").then(|| home.display().to_string()));
            assert!(found.unwrap().is_none(), "{home:?}");
        }
    }
}
