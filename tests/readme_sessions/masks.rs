//! What may differ between README and a run: ports, process ids, terms, paths, and who was elected.

/// Who plays whom: README's ports are others here, and its leader has another number.
#[derive(Debug)]
pub struct Cast {
    readme_port: u16,
    port: u16,
    /// README's leader and the real one: nodes 1 to 3.
    leaders: (u16, u16),
}

impl Cast {
    /// README's first client port, and the one here.
    pub fn new(readme_port: u16, port: u16) -> Cast {
        Cast { readme_port, port, leaders: (1, 1) }
    }

    /// From now on README's leader is this node here, and that one's part is played by README's leader's.
    pub fn elect(&mut self, readme: u16, here: u16) {
        self.leaders = (readme, here);
    }

    /// Which node here plays README's `node`.
    pub fn node(&self, node: u16) -> u16 {
        match self.leaders {
            (readme, here) if node == readme => here,
            (readme, here) if node == here => readme,
            _ => node,
        }
    }

    /// The port here of README's client port.
    pub fn client_port(&self, readme: &str) -> String {
        let place = readme.parse::<u16>().ok().and_then(|port| port.checked_sub(self.readme_port));
        match place.filter(|place| *place < 3) {
            Some(place) => (self.port + self.node(place + 1) - 1).to_string(),
            None => panic!("README names port {readme}, which is none of its cluster's"),
        }
    }

    /// What is printed here, with README's ports.
    pub fn to_readme(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for offset in (0..3).chain(100..103).chain(200..201) {
            for before in [":", "-p "] {
                let (here, there) = (self.port + offset, self.readme_port + offset);
                line = line.replace(&format!("{before}{here}"), &format!("{before}{there}"));
            }
        }
        line
    }
}

/// How the directories of nodes begin.
const DATA: [&str; 2] = ["eraft-data/n", "eraft-s3-data/n"];

fn is_program(word: &str, name: &str) -> bool {
    word == name || word.strip_suffix(name).is_some_and(|directory| directory.ends_with('/'))
}

/// The line without what is chance. A row of the starter's table keeps its node, port and directory: these are not.
pub fn masked(line: &str) -> String {
    let row = line.starts_with("  node ");
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    for at in 0..words.len() {
        let before = at.checked_sub(1).map(|at| words[at].trim_start_matches('(').to_owned()).unwrap_or_default();
        let hides = match before.as_str() {
            "pid" | "-9" | "term" => true,
            "node" => !row,
            _ => false,
        };
        let word = &mut words[at];
        if hides {
            *word = word.replace(|c: char| c.is_ascii_digit(), "").to_owned() + "#";
        } else if let Some(program) = ["file_node", "s3_node"].into_iter().find(|name| is_program(word, name)) {
            *word = program.to_uppercase();
        } else if let Some(data) = DATA.into_iter().find(|data| !row && word.starts_with(data)) {
            *word = format!("{data}#");
        } else if !row && word.starts_with("127.0.0.1:") {
            *word = "127.0.0.1:#".to_owned();
        }
    }
    words.join(" ")
}

/// The number after `word` in a line that holds it.
pub fn number_after(text: &str, word: &str) -> Option<u32> {
    let rest = text.split_once(word)?.1.trim_start();
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
