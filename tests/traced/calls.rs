//! The record of `strace`, call by call.
//!
//! A call that another thread's overtook stands on two lines, its beginning and its end. One that never ended was cut
//! short by a kill.

use std::{collections::HashMap, path::PathBuf};

/// One system call. Lines are its times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub begun: usize,
    pub ended: Option<usize>,
    pub name: String,
    pub arguments: String,
    /// What it returned; nothing where it was cut short.
    pub result: Option<i64>,
}

/// Every call of a record, in the order of their beginnings.
pub fn read(record: &str) -> Vec<Call> {
    let (mut calls, mut open): (Vec<Call>, HashMap<&str, usize>) = (Vec::new(), HashMap::new());
    for (line, text) in record.lines().enumerate() {
        let (thread, rest) = text.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix("<... ") {
            let (_, rest) = rest.split_once(" resumed>").unwrap();
            let Some(at) = open.remove(thread) else { continue };
            calls[at].end(line, rest);
        } else if let Some((name, rest)) = rest.split_once('(') {
            let mut call = Call { begun: line, name: name.to_owned(), ..Call::default() };
            match rest.strip_suffix("<unfinished ...>") {
                Some(arguments) => {
                    arguments.clone_into(&mut call.arguments);
                    open.insert(thread, calls.len());
                }
                None => call.end(line, rest),
            }
            calls.push(call);
        }
    }
    calls
}

impl Call {
    fn end(&mut self, line: usize, rest: &str) {
        // No argument holds this: strings are printed in hexadecimal.
        let (arguments, result) = rest.rsplit_once(" = ").unwrap_or((rest, "?"));
        self.arguments.push_str(arguments.trim_end().trim_end_matches(')'));
        let digits = result.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(result.len());
        self.result = result[..digits].parse().ok();
        self.ended = self.result.map(|_| line);
    }

    /// The file that its first argument is open on.
    pub fn file(&self) -> Option<PathBuf> {
        let (_, rest) = self.arguments.split_once('<')?;
        let path = &rest[..rest.find(['>', '<']).unwrap_or(rest.len())];
        path.starts_with("\\x2f").then(|| PathBuf::from(String::from_utf8(unescape(path)).unwrap()))
    }

    /// The connection that its first argument is one end of: this end's address, and the other's.
    pub fn connection(&self) -> Option<(&str, &str)> {
        let (_, rest) = self.arguments.split_once("<TCP:[")?;
        rest.split_once(']')?.0.split_once("->")
    }

    /// Its arguments that are strings.
    pub fn strings(&self) -> Vec<Vec<u8>> {
        let mut parts = self.arguments.split('"');
        let mut found = Vec::new();
        while let (Some(_), Some(string)) = (parts.next(), parts.next()) {
            found.push(unescape(string));
        }
        found
    }

    /// The bytes that it wrote: all where it was cut short, since they may have gone.
    pub fn written(&self) -> Vec<u8> {
        let mut bytes = self.strings().concat();
        assert!(!self.arguments.contains("\"..."), "strace cut the bytes of a {} short", self.name);
        if let Some(taken) = self.result {
            bytes.truncate(usize::try_from(taken).unwrap_or(0));
        }
        bytes
    }
}

/// Bytes out of `\x2f\x41`.
fn unescape(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}
