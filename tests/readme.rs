//! The documents hold: the README's shell lines run and print what they promise, its Rust snippet compiles, and every path
//! that a document names exists.
//!
//! Rules for the README: all `sh` blocks are one script, run by bash in an empty directory. Lines that begin with `cargo`
//! are left out; `target/release/bankd` is the program under test. `# => TEXT` promises that the lines before it, from the
//! last promise on, have printed TEXT (the promises after one command in any order); `...` in it stands for anything.
//! Ports and the journal come from the environment variables that the program reads, so parallel runs do not meet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// The README's snippet, so that it is compiled.
#[allow(dead_code)]
#[path = "readme/client.rs"]
mod client;

/// Ends the daemons that the script has started and not ended, by their process ids.
const AT_EXIT: &str = "trap 'for pid in $(jobs -p); do kill -9 $pid; done 2>/dev/null' EXIT";

/// What separates the output of one command group from that of the next.
const MARK: &str = "=====";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The lines of all blocks of a language.
fn block(page: &str, language: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == format!("```{language}");
        } else if inside {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// Commands, and what they promise to print.
#[derive(Default)]
struct Group {
    commands: Vec<String>,
    promises: Vec<String>,
}

fn groups(lines: &[String]) -> Vec<Group> {
    let mut groups = vec![Group::default()];
    for line in lines.iter().filter(|line| !line.starts_with("cargo ")) {
        if let Some(promise) = line.strip_prefix("# => ") {
            groups.last_mut().unwrap().promises.push(promise.to_owned());
        } else {
            if !groups.last().unwrap().promises.is_empty() {
                groups.push(Group::default());
            }
            groups.last_mut().unwrap().commands.push(line.clone());
        }
    }
    groups
}

/// Whether the parts of the promise between `...` stand in one line, in order.
fn kept(promise: &str, output: &str) -> bool {
    output.lines().any(|line| {
        let mut rest = line;
        promise.split("...").all(|part| {
            let found = rest.find(part);
            rest = found.map_or("", |at| &rest[at + part.len()..]);
            found.is_some()
        })
    })
}

/// A loopback address that no other run of a script uses: a free port of 127.0.0.1 could be taken before the script needs it.
fn own_address() -> String {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    assert!(run < 4, "two bits of the address count the runs");
    format!("{}:7070", Ipv4Addr::from(0x7F00_0000 | (std::process::id() << 2 | run) & 0x00FF_FFFF))
}

fn run(groups: &[Group], dir: &Path) -> Output {
    let address = own_address();
    fs::create_dir_all(dir.join("target/release")).unwrap();
    symlink(env!("CARGO_BIN_EXE_bankd"), dir.join("target/release/bankd")).unwrap();
    let mut script = format!("set -e -o pipefail\nshopt -s expand_aliases\nexec 2>&1\n{AT_EXIT}\n");
    for group in groups {
        script.push_str(&group.commands.join("\n"));
        script.push_str(&format!("\necho '{MARK}'\n"));
    }
    fs::write(dir.join("script"), script).unwrap();
    let mut bash = Command::new("bash");
    bash.arg("script").current_dir(dir).env("BANKD_LISTEN", &address).env("BANKD_SERVER", &address);
    bash.env("XDG_STATE_HOME", dir.join("state")).env("BANKD_ALLOW_TMPFS", "true");
    for name in ["BANKD_DATA_DIR", "BANKD_KEY_FILE", "BANKD_JOURNAL", "BANKD_LOG", "BANKD_TIMEOUT"] {
        bash.env_remove(name);
    }
    bash.output().unwrap()
}

/// What does not hold of a page's shell lines.
fn broken_promises(page: &str) -> Vec<String> {
    let groups = groups(&block(page, "sh"));
    let dir = tempfile::tempdir().unwrap();
    let output = run(&groups, dir.path());
    let text = String::from_utf8_lossy(&output.stdout);
    let mut broken = Vec::new();
    if !output.status.success() {
        broken.push(format!("the script ends with {}", output.status));
    }
    let mut parts = text.split(MARK);
    for group in &groups {
        let part = parts.next().unwrap_or("");
        broken.extend(group.promises.iter().filter(|promise| !kept(promise, part)).map(|promise| format!("not printed: {promise}")));
    }
    if !broken.is_empty() {
        broken.push(text.into_owned());
    }
    broken
}

#[test]
fn the_readme_runs_as_it_stands() {
    let page = readme();
    let promised = block(&page, "sh").iter().filter(|line| line.starts_with("# => ")).count();
    assert!(promised >= 5, "only {promised} promises were found");
    let broken = broken_promises(&page);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_readme_that_promises_too_much_is_found() {
    let page = readme();
    let other_balance = page.replace("# => Current balance is 45000", "# => Current balance is 45720");
    assert!(broken_promises(&other_balance)[0].contains("not printed: Current balance is 45720"));
    let other_command =
        page.replace("bankd withdraw Sami 720 --pin-file pin --request", "bankd withdraw Sami 721 --pin-file pin --request");
    assert!(broken_promises(&other_command)[0].contains("the script ends with"));
}

#[test]
fn the_readme_shows_the_snippet_that_is_compiled() {
    assert_eq!(block(&readme(), "rust,no_run").join("\n"), include_str!("readme/client.rs").trim_end());
}

/// Every Markdown file of the project.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut dirs = vec![root().to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                dirs.push(path);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The words of a page that look like paths of the project, and the targets of its links.
fn paths(text: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let words = text.split(|c| !is_part(c)).map(|word| word.trim_end_matches(['.', '-']));
    words
        .filter(|word| {
            let first = word.split('/').next().unwrap_or("");
            let below = word.contains('/') && ["src", "tests", "docs", "benches", "examples", "fuzz", ".ci"].contains(&first);
            below || (word.ends_with(".rs") && word.len() > 3 && !word.starts_with('.'))
        })
        .collect()
}

fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).collect()
}

/// The paths and links of a page that lead nowhere. A path may begin at the page's folder too, a Rust file also at `src/`,
/// `tests/` or the folder of a test binary.
fn dead_ends(text: &str, dir: &Path) -> Vec<String> {
    let bases = ["", "src", "tests", "tests/cli", "tests/daemon", "tests/store", "tests/server", "tests/wal", "tests/prove"];
    let known = |path: &str| dir.join(path).exists() || bases.iter().any(|base| root().join(base).join(path).exists());
    let mut dead: Vec<String> = paths(text).into_iter().filter(|path| !known(path)).map(str::to_owned).collect();
    dead.extend(links(text).into_iter().filter(|link| !dir.join(link).exists()).map(str::to_owned));
    dead
}

#[test]
fn every_path_in_a_document_exists() {
    let pages = pages();
    assert!(pages.len() >= 15, "only {} pages were found", pages.len());
    let mut dead = Vec::new();
    let mut seen = 0;
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        seen += paths(&text).len() + links(&text).len();
        dead.extend(dead_ends(&text, page.parent().unwrap()).into_iter().map(|path| format!("{}: {path}", page.display())));
    }
    assert!(seen > 100, "only {seen} paths were found");
    assert!(dead.is_empty(), "these do not exist:\n{}", dead.join("\n"));
}

#[test]
fn a_path_that_does_not_exist_is_found() {
    assert_eq!(dead_ends("see `src/bank/nowhere.rs`, tests/nowhere.sh.", root()), ["src/bank/nowhere.rs", "tests/nowhere.sh"]);
    assert_eq!(dead_ends("[a](docs/nowhere.md#top) and `nowhere.rs`", root()), ["docs/nowhere.md", "nowhere.rs", "docs/nowhere.md"]);
    assert!(dead_ends("[a](README.md), `src/bank/`, `tests/readme.rs`, `wal/format/`", root()).is_empty());
}
