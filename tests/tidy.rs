//! The layering, the sizes and the banned names of `ARCHITECTURE.md` and the banned words of `CONTRIBUTING.md`, as a
//! test: every rule is run over every Rust file of the project, and is shown a bad example that it must refuse.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::fs;
use std::path::Path;

use rules::{MAX_LINES, RULES};
use source::Source;

#[test]
fn the_project_keeps_every_rule() {
    let files = project();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for must in ["src/lib.rs", "src/env/os.rs", "src/wire/frame.rs", "tests/tidy.rs", "tests/tidy/rules.rs"] {
        assert!(paths.contains(&must), "{must} was not looked at");
    }
    let imports = files.iter().flat_map(|file| &file.names).filter(|name| name.imported && name.parts[0] == "crate").count();
    assert!(imports > 20, "only {imports} imports were found: the reader is broken");
    let found: Vec<String> = files.iter().flat_map(complaints).collect();
    assert!(found.is_empty(), "{} complaints:\n{}", found.len(), found.join("\n"));
}

/// Every Rust file of the project, in the order of their paths.
fn project() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["src", "tests", "benches", "examples", "fuzz"] {
        if root.join(dir).is_dir() {
            walk(root, dir, &mut files);
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn walk(root: &Path, dir: &str, files: &mut Vec<Source>) {
    for entry in fs::read_dir(root.join(dir)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{dir}/{name}");
        if entry.file_type().unwrap().is_dir() {
            if name != "target" {
                walk(root, &path, files);
            }
        } else if name.ends_with(".rs") {
            files.push(Source::new(&path, &fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

fn complaints(source: &Source) -> Vec<String> {
    RULES.iter().flat_map(|rule| rule(source)).collect()
}

/// What is said about one file of that text, its opening line put before it.
fn said(path: &str, text: &str) -> Vec<String> {
    complaints(&Source::new(path, &format!("//! Opens.\n{text}")))
}

#[track_caller]
fn refused(path: &str, text: &str, part: &str) {
    let said = said(path, text);
    assert!(said.iter().any(|line| line.contains(part)), "{path}: {text}\nsaid: {said:?}");
}

#[track_caller]
fn accepted(path: &str, text: &str) {
    let said = said(path, text);
    assert!(said.is_empty(), "{path}: {text}\nsaid: {said:?}");
}

#[test]
fn imports_go_downward_only() {
    refused("src/wire/frame.rs", "use crate::bank::Bank;", "`wire` (layer 2) may not import `bank`");
    refused("src/wal/read/reader.rs", "fn f() { crate::engine::submit() }", "may not import `engine`");
    refused("src/model/types.rs", "use crate::wire::frame;", "may not import `wire`");
    refused("src/engine/mod.rs", "use crate::{\n    bank::Bank,\n    server::{self, service},\n};", "src/engine/mod.rs:4: `crate::server");
    refused("src/client/mod.rs", "use crate::server::service;", "may not import `server`");
    refused("src/server/mod.rs", "use crate::client;", "may not import `client`");
    refused("src/wal/mod.rs", "#[cfg(test)]\nmod tests { use crate::bank::Bank; }", "may not import `bank`");
    refused("src/wal/mod.rs", "use crate::*;", "may not import `*`");
    refused("src/novel.rs", "", "has no layer");
    refused("src/wal/mod.rs", "use super::bank::Bank;", "by `super`");
    refused("src/wal/read/reader.rs", "use super::super::super::bank::Bank;", "by `super`");
    refused("src/model/types.rs", "use super::super::engine;", "by `super`");
    accepted("src/engine/mod.rs", "use crate::bank::Bank;\nuse crate::wal::{self, Log};\nuse crate::model::types::Lsn;");
    accepted("src/model/types.rs", "use crate::model::amount::Amount;\npub(super) struct A;\n#[cfg(test)]\nmod tests { use super::*; }");
    accepted("src/wal/read/reader.rs", "use super::segment::Segment;\nuse crate::wal::batch;");
    accepted("src/cli/commands/serve.rs", "use crate::cli::exit;\nuse bankd::server::run;\nuse bankd::model::types::Lsn;");
    accepted("src/bench/load.rs", "use crate::client::Client;\nuse crate::prove::Proxy;");
    refused("src/prove/check/checker.rs", "use crate::bank::Bank;", "may not import `bank`");
    refused("src/prove/check/model.rs", "use crate::wal::recover;", "may not import `wal`");
    refused("src/bench/load.rs", "use crate::engine::Engine;", "may not import `engine`");
    refused("src/prove/broken/serve.rs", "use crate::engine::Engine;", "may not import `engine`");
    accepted("src/prove/broken/serve.rs", "use crate::wal::Log;");
    accepted("src/lib.rs", "pub mod server;\npub use crate::server::service;");
}

#[test]
fn long_files_are_refused() {
    accepted("src/wal/mod.rs", &"\n".repeat(MAX_LINES - 1));
    refused("src/wal/mod.rs", &"\n".repeat(MAX_LINES), "501 lines");
    refused("tests/load.rs", &"\n".repeat(MAX_LINES), "501 lines");
}

#[test]
fn files_open_with_their_job() {
    for text in ["", "// A comment.\n", "use std::io;\n//! Late.\n", "//!\n"] {
        let said = complaints(&Source::new("src/model/types.rs", text));
        assert!(said.len() == 1 && said[0].contains("does not open"), "{text:?}: {said:?}");
    }
}

#[test]
fn the_log_and_the_engine_have_no_silent_defaults() {
    for text in ["a.unwrap_or_default()", "a.unwrap_or(u64::MAX)", "a.unwrap_or(0)", "a.unwrap_or(false)"] {
        refused("src/wal/write/log.rs", &format!("fn f() {{ {text}; }}"), "a silent default");
        accepted("src/cli/support/output.rs", &format!("fn f() {{ {text}; }}"));
        accepted("src/engine/mod.rs", &format!("#[cfg(test)]\nmod tests {{ fn f() {{ {text}; }} }}"));
    }
    accepted("src/engine/mod.rs", "fn f() { a.unwrap_or(b); }");
}

#[test]
fn names_have_their_place() {
    for (text, part) in [
        ("use std::fs::File;", "`std::fs` is allowed in: src/env/"),
        ("use std::{fs, io};", "`std::fs`"),
        ("use std::{\n    io::{self, Read},\n    fs::{self, File as Handle},\n};", "src/wal/mod.rs:4"),
        ("fn f() { std::fs::read(\"x\").ok(); }", "`std::fs`"),
        ("use std::os::unix::fs::FileExt;", "`std::os::unix::fs`"),
        ("use fs2::FileExt;", "`fs2`"),
        ("use fs2;", "`fs2`"),
        ("fn f() { ::rustix::fs::sync(); }", "`rustix`"),
        ("fn f() { getrandom::fill(b); }", "`getrandom`"),
        ("fn f() { rand::random() }", "`rand`"),
        ("use bincode::config;", "`bincode` is allowed in: src/model/codec.rs"),
        ("use tokio::net;", "`tokio` is allowed in: nowhere"),
        ("use indicatif::ProgressBar;", "`indicatif` is allowed in: src/cli/support/progress.rs"),
        ("use std::time::SystemTime;", "`SystemTime`"),
        ("use std::time::{Duration, UNIX_EPOCH};", "`UNIX_EPOCH`"),
        ("fn f() { let t = std::time::Instant::now(); }", "`Instant::now`"),
        ("fn f() { println!(\"x\") }", "`println!`"),
        ("fn f() { print!(\"x\") }", "`print!`"),
        ("fn f() { eprintln!(\"x\") }", "`eprintln!`"),
        ("fn f() { std::io::stdout().lock(); }", "`io::stdout`"),
        ("fn f() { std::eprint!(\"x\") }", "`eprint!`"),
        ("fn f() { unsafe { g() } }", "`unsafe`"),
        ("#[allow(unsafe_code)]\nfn f() {}", "`unsafe_code`"),
        ("fn f() { todo!() }", "`todo!`"),
        ("fn f() { debug_assert!(a) }", "`debug_assert!`"),
        ("fn f() { debug_assert_eq!(a, b) }", "`debug_assert_eq!`"),
        ("fn f() { unimplemented!() }", "`unimplemented!`"),
        ("fn f() { dbg!(1); }", "`dbg!`"),
    ] {
        refused("src/wal/mod.rs", text, part);
        // Blanking literals and comments must not hide what follows them.
        refused(
            "src/wal/mod.rs",
            &format!("const Q: (char, &str) = ('\"', \"/*\\\"\"); // \" it's\n{text}"),
            part.trim_start_matches("src/wal/mod.rs:4"),
        );
    }
    for (path, text) in [
        ("src/env/os.rs", "use std::fs::File;\nuse fs2::FileExt;\nuse std::time::SystemTime;\nfn f() { rustix::x(); getrandom::fill(b); }"),
        ("src/model/codec.rs", "use bincode::config;"),
        ("src/cli/commands/atm.rs", "fn f() { let start = Instant::now(); }"),
        ("src/cli/support/output.rs", "fn f() { std::io::stdout(); }"),
        ("src/client/mod.rs", "fn f() { let start = Instant::now(); }"),
        ("src/wal/mod.rs", "use std::time::Instant;\nfn f(rand: u8) -> bool { rand != 1 }"),
        (
            "src/wal/mod.rs",
            "// std::fs, unsafe\n/* a /* nested */ todo!() */\nconst A: &str = \"println!() // \\\" dbg!()\";\nconst B: &str = r#\"unsafe \" {\"#;",
        ),
        ("src/wal/mod.rs", "fn f<'a>(x: &'a str) -> impl Fn() + use<'a> { let c = 'u'; let n = '\\''; || x.len() }"),
        ("src/wal/mod.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n    fn f() { println!(\"{}\", 1); }\n}"),
        ("tests/daemon/kill.rs", "use std::fs;\nfn f() { eprintln!(\"x\"); std::time::Instant::now(); }"),
    ] {
        accepted(path, text);
    }
    refused("src/wal/mod.rs", "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\nuse std::fs;", "`std::fs`");
    refused("tests/daemon/kill.rs", "fn f() { unsafe { g() } }", "`unsafe`");
}

#[test]
fn the_default_hasher_needs_a_reason() {
    let path = "src/bank/mod.rs";
    refused(path, "\nuse std::collections::HashMap;", "default hasher");
    refused(path, "\nuse std::collections::{BTreeMap, HashSet};", "default hasher");
    refused(path, "\nfn f() { std::collections::HashMap::new(); }", "default hasher");
    accepted(path, "// Clients choose these names.\nuse std::collections::HashMap;");
    accepted(path, "\nuse std::collections::HashMap; // clients choose these names");
    accepted(path, "\nuse rustc_hash::FxHashMap;\nuse std::collections::BTreeMap;");
}

#[test]
fn letters_beyond_ascii_stay_in_literals_and_tests() {
    refused("src/wal/mod.rs", "// caf\u{e9}", "is not ASCII");
    refused("src/wal/mod.rs", "fn caf\u{e9}() {}", "is not ASCII");
    accepted("src/wal/mod.rs", "const A: (&str, char) = (\"caf\u{e9}\", '\u{e9}');");
    accepted("src/wal/mod.rs", "#[cfg(test)]\nmod tests {\n    // caf\u{e9}\n}");
    accepted("tests/cli/names.rs", "// caf\u{e9}");
}

#[test]
fn nothing_is_left_for_later() {
    for mark in ["TODO", "FIXME", "XXX", "HACK"] {
        refused("src/wal/mod.rs", &format!("fn f() {{}} // {mark}: more"), mark);
    }
    accepted("src/wal/mod.rs", "// Hacks are no XXXL marks.");
}

#[test]
fn comments_use_plain_words() {
    for word in ["whoever", "somebody", "nobody", "anybody", "so many", "whom", "tells", "told", "gives"] {
        refused("src/wal/mod.rs", &format!("fn f() {{}} // Here {word}: more."), word);
        refused("src/wal/mod.rs", &format!("/// {}'s own.\nfn f() {{}}", word.to_uppercase()), word);
        refused("tests/wal/crash.rs", &format!("/* {word} */"), word);
        refused("benches/commit.rs", &format!("//! {word}"), word);
        accepted("src/wal/mod.rs", &format!("/// The word `{word}` in code, and [`{word}`](crate::{word}), and un{word}.\nfn f() {{}}"));
        accepted("src/wal/mod.rs", &format!("const A: &str = \"{word} // {word}\"; // See `A`."));
    }
    refused("src/wal/mod.rs", "/// Writes so\n/// many entries.\nfn f() {}", "so many");
    refused("src/wal/mod.rs", "/// `A` is told `B`.\nfn f() {}", "src/wal/mod.rs:2");
    accepted("src/wal/mod.rs", "/// Of [`Owner::Nobody`]; [`told`] returns it.\nfn told(gives: u8) {}");
    accepted("src/wal/mod.rs", "/// Many so-called entries; many more.\nfn f() {}");
}
