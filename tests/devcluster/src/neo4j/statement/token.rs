//! Words, names, literals and parameters of a statement.

use crate::neo4j::failure::Neo4jFailure;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A keyword or plain name, as written.
    Word(String),
    /// A name in backticks.
    Name(String),
    /// A string literal.
    Text(String),
    /// An integer.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// `$parameter`.
    Parameter(String),
    /// Punctuation; `<>` is one.
    Sign(&'static str),
}

const SIGNS: [&str; 16] = [
    "<>", "(", ")", "{", "}", "[", "]", ",", ":", ".", "=", "*", ";", "-", "/", "+",
];

/// Cuts `text` into tokens.
pub fn tokens(text: &str) -> Result<Vec<Token>, Neo4jFailure> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '\'' | '"' => {
                let (text, length) = quoted(rest, first)?;
                (Token::Text(text), length)
            }
            '`' => {
                let (name, length) = quoted(rest, first)?;
                (Token::Name(name), length)
            }
            '$' => parameter(rest)?,
            c if c.is_alphabetic() || c == '_' => {
                let word = word(rest);
                (Token::Word(word.to_owned()), word.len())
            }
            c if c.is_ascii_digit() => number(rest)?,
            c => {
                let sign = SIGNS
                    .into_iter()
                    .find(|sign| rest.starts_with(sign))
                    .ok_or_else(|| Neo4jFailure::syntax(format_args!("Invalid input '{c}'")))?;
                (Token::Sign(sign), sign.len())
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn number(text: &str) -> Result<(Token, usize), Neo4jFailure> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let whole = digits(text);
    let fraction = text[whole..].strip_prefix('.').map_or(0, digits);
    let token = if fraction > 0 {
        let length = whole + 1 + fraction;
        text[..length].parse().map(|number| (Token::Float(number), length)).ok()
    } else {
        text[..whole].parse().map(|number| (Token::Int(number), whole)).ok()
    };
    token.ok_or_else(|| Neo4jFailure::syntax(format_args!("integer is too large: {}", &text[..whole])))
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

fn parameter(text: &str) -> Result<(Token, usize), Neo4jFailure> {
    let rest = &text[1..];
    if rest.starts_with('`') {
        let (name, length) = quoted(rest, '`')?;
        return Ok((Token::Parameter(name), length + 1));
    }
    let name = word(rest);
    if name.is_empty() {
        return Err(Neo4jFailure::syntax("Invalid input '$': expected a parameter name"));
    }
    Ok((Token::Parameter(name.to_owned()), name.len() + 1))
}

/// A text in quotes, with its length in the source. A doubled backtick is one; strings escape with a backslash.
fn quoted(source: &str, quote: char) -> Result<(String, usize), Neo4jFailure> {
    let mut text = String::new();
    let mut chars = source.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if quote == '`' && chars.next_if(|(_, next)| *next == '`').is_some() {
                text.push('`');
                continue;
            }
            return Ok((text, at + quote.len_utf8()));
        }
        if c == '\\' && quote != '`' {
            match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, c @ ('\\' | '\'' | '"' | '`'))) => text.push(c),
                Some((_, 'u')) => {
                    let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                    let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                    let character = code.and_then(char::from_u32);
                    text.push(character.ok_or_else(|| Neo4jFailure::syntax("Invalid unicode escape in a string"))?);
                }
                _ => return Err(Neo4jFailure::syntax("Invalid escape in a string")),
            }
            continue;
        }
        text.push(c);
    }
    Err(Neo4jFailure::syntax(format_args!(
        "Failed to parse string literal. The query must contain an even number of non-escaped quotes: {quote}"
    )))
}
