//! The rules themselves. Each looks at one file and complains in words.
//!
//! Left out: which files there are, and the proof that every rule can fail (`tidy.rs`).

use crate::source::{Name, Source};

/// A rule: what is wrong with a file, one line each.
pub type Rule = fn(&Source) -> Vec<String>;

/// Every rule.
pub const RULES: [Rule; 9] = [layers, size, opening, banned, silent_defaults, default_hasher, ascii, open_ends, plain_words];

/// The most lines of a file, tests included.
pub const MAX_LINES: usize = 500;

/// The top-level modules by layer. A module imports from lower layers only; within layer 1 and within layer 5, which
/// are one piece each, imports are free.
const LAYERS: [(u8, &[&str]); 5] = [
    (1, &["model", "env"]),
    (2, &["wire", "bank", "wal"]),
    (3, &["engine"]),
    (4, &["server", "client", "bench", "prove"]),
    (5, &["main", "cli"]),
];

/// The exceptions to the layers: the load generator and the checker use the client, as any outsider would, and the
/// sweep measures through the fault proxy.
const SIDEWAYS: [(&str, &str); 3] = [("bench", "client"), ("prove", "client"), ("bench", "prove")];

/// What an outsider does not see, though it lies below: the bank on trial cannot be its own witness.
const INSIDE: [&str; 3] = ["bank", "engine", "wal"];

/// The exceptions to that: the small bank with flaws on purpose keeps a log of the same format.
const INSIDERS: [(&str, &str); 1] = [("src/prove/broken/", "wal")];

/// Imports go downward, never sideways, and leave a module by `crate::` only.
fn layers(source: &Source) -> Vec<String> {
    let Some(owner) = top_module(&source.path) else { return Vec::new() };
    let Some(own_layer) = layer(owner) else {
        return vec![format!("{}: the module `{owner}` has no layer; give it one in tests/tidy/rules.rs", source.path)];
    };
    let mut found = Vec::new();
    for name in &source.names {
        let parts: Vec<&str> = name.parts.iter().map(String::as_str).collect();
        if let ["crate" | "bankd", target, ..] = parts[..]
            && target.trim_end_matches('!') != owner
        {
            let allowed = match layer(target) {
                Some(_) if matches!(owner, "bench" | "prove") && INSIDE.contains(&target) && !source.is_test(name.line) => {
                    INSIDERS.iter().any(|(path, module)| source.path.starts_with(path) && *module == target)
                }
                Some(layer) if layer < own_layer => true,
                Some(layer) if layer == own_layer => matches!(layer, 1 | 5) || SIDEWAYS.contains(&(owner, target)),
                _ => false,
            };
            if !allowed {
                found.push(complaint(source, name, &format!("`{owner}` (layer {own_layer}) may not import `{target}`")));
            }
        }
        let climbed = parts.iter().take_while(|part| **part == "super").count();
        // `pub(super)` leaves nothing.
        if climbed < parts.len() && climbed >= depth(&source.path) + usize::from(source.is_test(name.line)) {
            found.push(complaint(source, name, "leaves its top-level module by `super`; write `crate::`"));
        }
    }
    found
}

/// The top-level module that a file under src belongs to; none for the crate's root and for files elsewhere.
fn top_module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let first = inside.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first)).filter(|module| *module != "lib")
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(_, modules)| modules.contains(&module)).map(|(layer, _)| *layer)
}

/// How many modules a file under src is below the crate's root.
fn depth(path: &str) -> usize {
    path.matches('/').count() - usize::from(path.ends_with("/mod.rs"))
}

/// No file is too long to be read.
fn size(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= MAX_LINES {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines, {MAX_LINES} are allowed; split it by meaning", source.path)]
}

/// Every source file says first what it is for.
fn opening(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/") || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![format!("{}: does not open with a `//!` line that tells its job", source.path)]
}

struct Ban {
    /// The path, or a run of its parts.
    name: &'static [&'static str],
    /// Whether it counts only at the front of a path; a crate's name, that is.
    front: bool,
    /// Where it is allowed: beginnings of paths.
    places: &'static [&'static str],
    /// Whether tests may use it.
    tests: bool,
}

impl Ban {
    const fn path(name: &'static [&'static str], places: &'static [&'static str]) -> Self {
        Self { name, front: true, places, tests: true }
    }

    const fn word(name: &'static [&'static str], places: &'static [&'static str]) -> Self {
        Self { name, front: false, places, tests: true }
    }

    const fn nowhere(name: &'static [&'static str]) -> Self {
        Self { name, front: false, places: &[], tests: false }
    }
}

/// A bench makes its own files and measures the bare disk.
const ENV: &[&str] = &["src/env/", "benches/"];
const TIMING: &[&str] = &["src/env/", "src/cli/", "src/client/", "benches/"];
const TERMINAL: &[&str] = &["benches/", "examples/"];
/// An example is a program of its own: it reads its PIN file and prints.
const FILES: &[&str] = &["src/env/", "benches/", "examples/"];
/// Where stdout is written to: an error there ends with a line on stderr.
const STDOUT: &[&str] = &["src/cli/support/output.rs", "benches/"];

const BANS: [Ban; 25] = [
    Ban::path(&["std", "fs"], FILES),
    Ban::path(&["std", "os", "unix", "fs"], ENV),
    Ban::path(&["fs2"], ENV),
    Ban::path(&["rustix"], ENV),
    Ban::path(&["getrandom"], ENV),
    Ban::path(&["rand"], ENV),
    Ban::path(&["bincode"], &["src/model/codec.rs"]),
    Ban::path(&["tokio"], &[]),
    Ban::path(&["indicatif"], &["src/cli/support/progress.rs"]),
    Ban::word(&["SystemTime"], ENV),
    Ban::word(&["UNIX_EPOCH"], ENV),
    Ban::word(&["Instant", "now"], TIMING),
    Ban::word(&["io", "stdout"], STDOUT),
    Ban::word(&["println!"], TERMINAL),
    Ban::word(&["print!"], TERMINAL),
    Ban::word(&["eprintln!"], TERMINAL),
    Ban::word(&["eprint!"], TERMINAL),
    Ban::nowhere(&["unsafe"]),
    Ban::nowhere(&["todo!"]),
    Ban::nowhere(&["debug_assert!"]),
    Ban::nowhere(&["debug_assert_eq!"]),
    Ban::nowhere(&["debug_assert_ne!"]),
    Ban::nowhere(&["unimplemented!"]),
    Ban::nowhere(&["dbg!"]),
    Ban::nowhere(&["unsafe_code"]),
];

/// Names stay in their place: the outside world in `env`, bincode in the codec, and some nowhere.
fn banned(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for name in &source.names {
        for ban in &BANS {
            let allowed = ban.places.iter().any(|place| source.path.starts_with(place)) || (ban.tests && source.is_test(name.line));
            if !allowed && names(name, ban) {
                let places = if ban.places.is_empty() { "nowhere".to_owned() } else { ban.places.join(", ") };
                found.push(complaint(source, name, &format!("`{}` is allowed in: {places}", ban.name.join("::"))));
            }
        }
    }
    found
}

fn names(name: &Name, ban: &Ban) -> bool {
    if ban.front {
        // A crate's name alone is some variable's, unless it is imported.
        return (name.parts.len() > 1 || name.imported) && name.parts.iter().take(ban.name.len()).eq(ban.name);
    }
    name.parts.windows(ban.name.len()).any(|window| window == ban.name)
}

/// Log and engine never go on with a made-up value: what an invariant guarantees is asked for by `invariant::held`.
fn silent_defaults(source: &Source) -> Vec<String> {
    if !["src/wal/", "src/engine/"].iter().any(|dir| source.path.starts_with(dir)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, code) in source.code.iter().enumerate().filter(|(index, _)| !source.is_test(index + 1)) {
        let number =
            code.split("unwrap_or(").skip(1).any(|rest| rest.starts_with("false") || rest.starts_with(|c: char| c.is_ascii_digit()));
        if number || code.contains("unwrap_or_default()") || code.contains("::MAX)") && code.contains("unwrap_or(") {
            found.push(format!("{}:{}: a silent default; use `invariant::held`, or return an error", source.path, index + 1));
        }
    }
    found
}

/// The standard maps hash slowly and iterate in random order: an import needs a reason, on its line or the one above.
fn default_hasher(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for name in &source.names {
        let is_map =
            matches!(name.parts.iter().map(String::as_str).collect::<Vec<_>>()[..], ["std", "collections", "HashMap" | "HashSet", ..]);
        let commented = |line: usize| line > 0 && source.comments.get(line - 1).is_some_and(|text| !text.trim().is_empty());
        if is_map && !source.is_test(name.line) && !commented(name.line) && !commented(name.line - 1) {
            found.push(complaint(source, name, "a map with the default hasher; a comment here must say why"));
        }
    }
    found
}

/// Code and comments are ASCII; literals and tests need not be.
fn ascii(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (index, (code, comment)) in source.code.iter().zip(&source.comments).enumerate() {
        if let Some(letter) = code.chars().chain(comment.chars()).find(|letter| !letter.is_ascii())
            && !source.is_test(index + 1)
        {
            found.push(format!("{}:{}: {letter:?} is not ASCII", source.path, index + 1));
        }
    }
    found
}

/// Nothing is left for later.
fn open_ends(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (index, comment) in source.comments.iter().enumerate() {
        for mark in ["TODO", "FIXME", "XXX", "HACK"] {
            if comment.split(|c: char| !c.is_alphanumeric()).any(|word| word == mark) {
                found.push(format!("{}:{}: a comment says {mark}", source.path, index + 1));
            }
        }
    }
    found
}

/// The words and pairs of words that the wording rule of `CONTRIBUTING.md` keeps out of comments.
const UNPLAIN: [&str; 9] = ["whoever", "somebody", "nobody", "anybody", "so many", "whom", "tells", "told", "gives"];

/// Where comments are held to [`UNPLAIN`].
const PLAIN: [&str; 3] = ["src/", "tests/", "benches/"];

/// Comments name their subject and use the field's words.
fn plain_words(source: &Source) -> Vec<String> {
    if !PLAIN.iter().any(|dir| source.path.starts_with(dir)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    // The last word of the comment on the line before: a pair may be broken between two lines.
    let mut before = String::new();
    for (index, comment) in source.comments.iter().enumerate() {
        let words = words(comment);
        for (at, word) in words.iter().enumerate() {
            let last = at.checked_sub(1).and_then(|at| words.get(at)).unwrap_or(&before);
            let pair = format!("{last} {word}");
            if let Some(bad) = UNPLAIN.iter().find(|bad| *bad == word || **bad == pair) {
                found.push(format!("{}:{}: a comment says \"{bad}\"; name the subject, or write what is returned", source.path, index + 1));
            }
        }
        before = words.last().cloned().unwrap_or_default();
    }
    found
}

/// The words of a comment in small letters, without code in backticks and the targets of links.
fn words(comment: &str) -> Vec<String> {
    let prose = comment.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let mut parts = prose.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    let prose = parts.fold(first, |text, part| text + " " + part.split_once(')').map_or("", |(_, rest)| rest));
    prose.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn complaint(source: &Source, name: &Name, text: &str) -> String {
    format!("{}:{}: `{}`: {text}", source.path, name.line, name.parts.join("::"))
}
