//! The parser's hands: looking at tokens and taking them. The grammar is in `admin`, `show` and `call`.

use std::collections::BTreeMap;

use super::{
    Statement, Term,
    token::{Token, tokens},
};
use crate::neo4j::{failure::Neo4jFailure, value::Value};

/// Nesting of lists and maps.
const MAX_DEPTH: usize = 8;

/// Tokens and a place in them.
pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

/// Reads a whole statement.
pub(super) fn parse(text: &str) -> Result<Statement, Neo4jFailure> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
    };
    let statement = parser.statement()?;
    parser.sign(";");
    if parser.at < parser.tokens.len() {
        return Err(parser.unexpected("end of input"));
    }
    Ok(statement)
}

impl Parser {
    fn statement(&mut self) -> Result<Statement, Neo4jFailure> {
        if self.words(&["SHOW"]) {
            self.show().map(Statement::Show)
        } else if self.words(&["CALL"]) {
            self.call()
        } else if self.words(&["RETURN"]) {
            self.returned()
        } else if self.words(&["UNWIND", "range"]) {
            self.count()
        } else if self.words(&["UNWIND"]) {
            self.quotients()
        } else {
            self.administration()
        }
    }

    fn returned(&mut self) -> Result<Statement, Neo4jFailure> {
        let mut columns = Vec::new();
        loop {
            let start = self.at;
            let term = self.term()?;
            let alias = if self.words(&["AS"]) {
                self.name("an alias")?
            } else {
                self.tokens[start..self.at].iter().map(plain).collect()
            };
            columns.push((alias, term));
            if !self.sign(",") {
                return Ok(Statement::Return(columns));
            }
        }
    }

    /// `UNWIND range(1, x) AS a [UNWIND range(1, y) AS b …] RETURN count(*) AS n`: the one statement that takes time.
    fn count(&mut self) -> Result<Statement, Neo4jFailure> {
        let mut rows = 1_u64;
        loop {
            self.expect_sign("(")?;
            let first = self.next_int()?;
            self.expect_sign(",")?;
            let last = self.next_int()?;
            self.expect_sign(")")?;
            self.expect_words(&["AS"])?;
            self.name("a variable")?;
            let many = last.saturating_sub(first).saturating_add(1);
            rows = rows.saturating_mul(u64::try_from(many).unwrap_or(0));
            if !self.words(&["UNWIND", "range"]) {
                break;
            }
        }
        self.expect_words(&["RETURN", "count"])?;
        for sign in ["(", "*", ")"] {
            self.expect_sign(sign)?;
        }
        self.expect_words(&["AS"])?;
        let name = self.name("an alias")?;
        Ok(Statement::Count { name, rows })
    }

    /// `UNWIND list AS i RETURN 1/i`: the one statement with a runtime error in it.
    fn quotients(&mut self) -> Result<Statement, Neo4jFailure> {
        let items = self.term()?;
        self.expect_words(&["AS"])?;
        let variable = self.name("a variable")?;
        self.expect_words(&["RETURN"])?;
        if self.next_int()? != 1 {
            return Err(self.unexpected("1"));
        }
        self.expect_sign("/")?;
        if self.name("the variable")? != variable {
            return Err(Neo4jFailure::syntax("Variable not defined"));
        }
        Ok(Statement::Quotients(items))
    }

    /// Takes these words, in any case, if they are all next.
    pub(super) fn words(&mut self, words: &[&str]) -> bool {
        let found = words
            .iter()
            .enumerate()
            .all(|(n, word)| match self.tokens.get(self.at + n) {
                Some(Token::Word(next)) => next.eq_ignore_ascii_case(word),
                _ => false,
            });
        if found {
            self.at += words.len();
        }
        found
    }

    /// Takes one of these words.
    pub(super) fn any_word(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.words(&[word]))
    }

    pub(super) fn expect_words(&mut self, words: &[&str]) -> Result<(), Neo4jFailure> {
        if self.words(words) {
            return Ok(());
        }
        Err(self.unexpected(&words.join(" ")))
    }

    pub(super) fn expect_any_word(&mut self, words: &[&str]) -> Result<(), Neo4jFailure> {
        if self.any_word(words) {
            return Ok(());
        }
        Err(self.unexpected(&words.join(" or ")))
    }

    pub(super) fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_sign(&mut self, sign: &str) -> Result<(), Neo4jFailure> {
        if self.sign(sign) {
            return Ok(());
        }
        Err(self.unexpected(sign))
    }

    /// A word or a name in backticks.
    pub(super) fn name(&mut self, what: &str) -> Result<String, Neo4jFailure> {
        match self.tokens.get(self.at) {
            Some(Token::Word(name) | Token::Name(name)) => {
                self.at += 1;
                Ok(name.clone())
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// A name with dots, like a procedure's, a setting's or a database's.
    pub(super) fn dotted_name(&mut self, what: &str) -> Result<String, Neo4jFailure> {
        let mut name = self.name(what)?;
        while self.sign(".") {
            name.push('.');
            name.push_str(&self.name(what)?);
        }
        Ok(name)
    }

    /// A name or a parameter.
    pub(super) fn name_or_parameter(&mut self, what: &str) -> Result<Term, Neo4jFailure> {
        if let Some(Token::Parameter(name)) = self.tokens.get(self.at) {
            self.at += 1;
            return Ok(Term::Parameter(name.clone()));
        }
        self.dotted_name(what).map(|name| Term::Literal(Value::String(name)))
    }

    /// A string literal or a parameter.
    pub(super) fn text_or_parameter(&mut self, what: &str) -> Result<Term, Neo4jFailure> {
        let term = match self.tokens.get(self.at) {
            Some(Token::Text(text)) => Term::Literal(Value::String(text.clone())),
            Some(Token::Parameter(name)) => Term::Parameter(name.clone()),
            _ => return Err(self.unexpected(what)),
        };
        self.at += 1;
        Ok(term)
    }

    /// A count or a parameter.
    pub(super) fn count_or_parameter(&mut self) -> Result<Term, Neo4jFailure> {
        let term = match self.tokens.get(self.at) {
            Some(Token::Int(n)) => Term::Literal(Value::Int(*n)),
            Some(Token::Parameter(name)) => Term::Parameter(name.clone()),
            _ => return Err(self.unexpected("an integer")),
        };
        self.at += 1;
        Ok(term)
    }

    /// Whether a count or a parameter is next.
    pub(super) fn count_is_next(&self) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Int(_) | Token::Parameter(_)))
    }

    /// Whether a string literal is next.
    pub(super) fn text_is_next(&self) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Text(_)))
    }

    /// Whether a parameter is next.
    pub(super) fn parameter_is_next(&self) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Parameter(_)))
    }

    pub(super) fn next_int(&mut self) -> Result<i64, Neo4jFailure> {
        match self.tokens.get(self.at) {
            Some(Token::Int(n)) => {
                self.at += 1;
                Ok(*n)
            }
            _ => Err(self.unexpected("an integer")),
        }
    }

    /// Any literal or parameter.
    pub(super) fn term(&mut self) -> Result<Term, Neo4jFailure> {
        self.term_within(MAX_DEPTH)
    }

    fn term_within(&mut self, depth: usize) -> Result<Term, Neo4jFailure> {
        if depth == 0 {
            return Err(Neo4jFailure::syntax("nested too deeply"));
        }
        if self.sign("[") {
            return self.items("]", depth).map(Term::List);
        }
        if self.sign("{") {
            return self.entries(depth).map(Term::Map);
        }
        if self.sign("-") {
            return match self.term_within(1)? {
                Term::Literal(Value::Int(number)) => Ok(Term::Literal(Value::Int(-number))),
                Term::Literal(Value::Float(number)) => Ok(Term::Literal(Value::Float(-number))),
                _ => Err(self.unexpected("a number")),
            };
        }
        let value = match self.tokens.get(self.at) {
            Some(Token::Text(text)) => Value::String(text.clone()),
            Some(Token::Int(n)) => Value::Int(*n),
            Some(Token::Float(n)) => Value::Float(*n),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("true") => Value::Bool(true),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("false") => Value::Bool(false),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => Value::Null,
            Some(Token::Parameter(name)) => {
                let term = Term::Parameter(name.clone());
                self.at += 1;
                return Ok(term);
            }
            _ => return Err(self.unexpected("a literal or a parameter")),
        };
        self.at += 1;
        Ok(Term::Literal(value))
    }

    /// Terms up to a closing sign; the opening one is taken already. There is no comma before the end.
    pub(super) fn terms(&mut self, close: &str) -> Result<Vec<Term>, Neo4jFailure> {
        self.items(close, MAX_DEPTH)
    }

    fn items(&mut self, close: &str, depth: usize) -> Result<Vec<Term>, Neo4jFailure> {
        let mut items = Vec::new();
        if self.sign(close) {
            return Ok(items);
        }
        loop {
            items.push(self.term_within(depth - 1)?);
            if !self.sign(",") {
                self.expect_sign(close)?;
                return Ok(items);
            }
        }
    }

    /// The entries of a map whose brace is taken already.
    fn entries(&mut self, depth: usize) -> Result<BTreeMap<String, Term>, Neo4jFailure> {
        let mut entries = BTreeMap::new();
        if self.sign("}") {
            return Ok(entries);
        }
        loop {
            let key = self.name("a key")?;
            self.expect_sign(":")?;
            let value = self.term_within(depth - 1)?;
            entries.insert(key, value);
            if !self.sign(",") {
                self.expect_sign("}")?;
                return Ok(entries);
            }
        }
    }

    /// Whether a plain name is next where a literal should be.
    pub(super) fn variable_is_next(&self) -> bool {
        let literals = ["true", "false", "null"];
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => !literals.iter().any(|literal| word.eq_ignore_ascii_case(literal)),
            Some(Token::Name(_)) => true,
            _ => false,
        }
    }

    /// A map literal.
    pub(super) fn map(&mut self) -> Result<BTreeMap<String, Term>, Neo4jFailure> {
        self.expect_sign("{")?;
        self.entries(MAX_DEPTH)
    }

    pub(super) fn unexpected(&self, expected: &str) -> Neo4jFailure {
        let found = self.tokens.get(self.at).map_or_else(String::new, plain);
        Neo4jFailure::syntax(format_args!("Invalid input '{found}': expected {expected}"))
    }
}

fn plain(token: &Token) -> String {
    match token {
        Token::Word(text) | Token::Name(text) => text.clone(),
        Token::Text(text) => format!("'{text}'"),
        Token::Int(n) => n.to_string(),
        Token::Float(n) => n.to_string(),
        Token::Parameter(name) => format!("${name}"),
        Token::Sign(sign) => (*sign).to_owned(),
    }
}
