//! Reading Rust text just well enough for the rules: code apart from comments and literals, which lines are tests,
//! and every path that the code names, `use` trees unfolded.
//!
//! Left out: the rules (`rules.rs`). Macros are read as the tokens that they are.

/// One file of the project.
pub struct Source {
    /// Its path below the project's root, with slashes.
    pub path: String,
    /// The text as it is.
    pub text: String,
    /// The code, line by line; comments and literals are blanks.
    pub code: Vec<String>,
    /// The comments, line by line; everything else is blanks.
    pub comments: Vec<String>,
    /// Every path in the code.
    pub names: Vec<Name>,
    is_test: Vec<bool>,
}

/// A path in the code, such as `std::fs::File`, or a single name. A macro's last part ends with `!`.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    /// The line, from 1.
    pub line: usize,
    /// The parts between the double colons; a `*` in a `use` tree is one.
    pub parts: Vec<String>,
    /// Whether a `use` names it.
    pub imported: bool,
}

impl Source {
    /// Reads one file's text.
    pub fn new(path: &str, text: &str) -> Self {
        let (code, comments) = separate(text);
        let tokens = tokens(&code);
        let mut is_test = test_lines(&tokens, code.lines().count());
        if path.split('/').any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs")) {
            is_test.fill(true);
        }
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            names: names(&tokens),
            code: lines(&code),
            comments: lines(&comments),
            is_test,
        }
    }

    /// Whether a line, counted from 1, is compiled for tests only.
    pub fn is_test(&self, line: usize) -> bool {
        self.is_test.get(line - 1).copied().unwrap_or(false)
    }
}

/// The text twice, line by line as it was: once the code alone, once the comments alone.
fn separate(text: &str) -> (String, String) {
    let text: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < text.len() {
        let (kind, end) = piece(&text, at);
        for &c in &text[at..end] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            code.push(if kind == Kind::Code { c } else { blank });
            comments.push(if kind == Kind::Comment { c } else { blank });
        }
        at = end;
    }
    (code, comments)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// What begins at `at`, and where it ends.
fn piece(text: &[char], at: usize) -> (Kind, usize) {
    let rest = &text[at..];
    if rest.starts_with(&['/', '/']) {
        let length = rest.iter().position(|&c| c == '\n').unwrap_or(rest.len());
        return (Kind::Comment, at + length);
    }
    if rest.starts_with(&['/', '*']) {
        return (Kind::Comment, at + block_comment(rest));
    }
    let inside_word = at > 0 && is_word(text[at - 1]);
    if !inside_word && let Some(length) = raw_string(rest) {
        return (Kind::Literal, at + length);
    }
    match rest {
        ['"', ..] => (Kind::Literal, at + quoted(rest, '"')),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => (Kind::Literal, at + quoted(rest, '\'')),
        // A whole word at once, so that no part of it is taken for a raw string's prefix.
        [c, ..] if is_word(*c) => (Kind::Code, at + rest.iter().position(|&c| !is_word(c)).unwrap_or(rest.len())),
        _ => (Kind::Code, at + 1),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a block comment, those inside it included.
fn block_comment(text: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of a raw string with its prefix, if one begins here.
fn raw_string(text: &[char]) -> Option<usize> {
    let prefix = text.iter().take_while(|c| matches!(c, 'b' | 'c')).count();
    if prefix > 1 || text.get(prefix) != Some(&'r') {
        return None;
    }
    let hashes = text[prefix + 1..].iter().take_while(|&&c| c == '#').count();
    let open = prefix + 1 + hashes;
    if text.get(open) != Some(&'"') {
        return None;
    }
    let mut end = vec!['"'];
    end.resize(hashes + 1, '#');
    let body = &text[open + 1..];
    let close = (0..body.len()).find(|&at| body[at..].starts_with(&end)).unwrap_or(body.len());
    Some((open + 1 + close + end.len()).min(text.len()))
}

/// The length of a string or character literal with escapes.
fn quoted(text: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

struct Token {
    line: usize,
    text: String,
}

/// Words, double colons, and every other character alone.
fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (token, after) = rest.split_at(length);
            tokens.push(Token { line: index + 1, text: token.to_owned() });
            rest = after.trim_start();
        }
    }
    tokens
}

/// Marks the lines of every item under `#[cfg(test)]`, to its closing brace or semicolon.
fn test_lines(tokens: &[Token], lines: usize) -> Vec<bool> {
    let mut marked = vec![false; lines];
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..].iter().map(|token| token.text.as_str()).take(attribute.len()).eq(attribute) {
            at += 1;
            continue;
        }
        let first = tokens[at].line;
        let mut depth = 0_usize;
        at += attribute.len();
        while at < tokens.len() {
            match tokens[at].text.as_str() {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
            if depth == 0 && matches!(tokens[at - 1].text.as_str(), "}" | ";") {
                break;
            }
        }
        marked[first - 1..tokens[at - 1].line].fill(true);
    }
    marked
}

fn names(tokens: &[Token]) -> Vec<Name> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        // In a bound, `use<..>` is no import.
        if text(at) == "use" && text(at + 1) != "<" {
            at = use_tree(tokens, at + 1, &[], &mut names);
            continue;
        }
        if !text(at).starts_with(is_word) {
            at += 1;
            continue;
        }
        let line = tokens[at].line;
        let mut parts = vec![text(at).to_owned()];
        at += 1;
        while text(at) == "::" && text(at + 1).starts_with(is_word) {
            parts.push(text(at + 1).to_owned());
            at += 2;
        }
        // `a != b` names no macro.
        if text(at) == "!"
            && text(at + 1) != "="
            && let Some(last) = parts.last_mut()
        {
            last.push('!');
        }
        names.push(Name { line, parts, imported: false });
    }
    names
}

/// Reads one branch of a `use` tree and adds its paths; returns the index behind it.
fn use_tree(tokens: &[Token], mut at: usize, before: &[String], names: &mut Vec<Name>) -> usize {
    let mut parts = before.to_vec();
    let mut line = tokens.get(at).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => {}
            "as" => at += 1,
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = use_tree(tokens, at, &parts, names);
                    if tokens.get(at).is_some_and(|token| token.text == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "," | "}" | ";" => break,
            word => {
                parts.push(word.to_owned());
                line = token.line;
            }
        }
        at += 1;
    }
    names.push(Name { line, parts, imported: true });
    at
}
