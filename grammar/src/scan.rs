//! What a tapset file defines, without parsing it.
//!
//! In: a file's text. Out: the names of its functions, aliases, globals and macros. Preprocessor conditionals
//! are ignored, so names of all branches are listed: whoever looks one up parses the file and sees
//! whether it is there. Used when tapsets are built into rtap, and for directories given with `-I`.

use crate::lexer::{Token, TokenKind, tokens};
use crate::source::FileId;

/// What kind of thing a name is defined as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefinitionKind {
    /// `function name`
    Function,
    /// `probe name.part =`
    Alias,
    /// `global name`
    Global,
    /// `@define name`
    Macro,
}

/// A name that a file defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Definition {
    /// What it is.
    pub kind: DefinitionKind,
    /// Its name; an alias's parts are joined by dots.
    pub name: String,
}

/// Lists what is defined at the top level of `text` and is not private, in order.
pub fn scan_index(text: &str) -> Vec<Definition> {
    let tokens = tokens(FileId::NONE, text, None);
    let mut scan = Scan {
        tokens: &tokens,
        found: Vec::new(),
    };
    for at in 0..tokens.len() {
        scan.token(at);
    }
    scan.found
}

struct Scan<'t, 's> {
    tokens: &'t [Token<'s>],
    found: Vec<Definition>,
}

impl Scan<'_, '_> {
    fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|t| t.kind)
    }

    fn found(&mut self, kind: DefinitionKind, name: &str) {
        self.found.push(Definition {
            kind,
            name: name.to_owned(),
        });
    }

    fn token(&mut self, at: usize) {
        let before = at.checked_sub(1).and_then(|i| self.kind(i));
        if matches!(
            before,
            Some(TokenKind::Dot | TokenKind::Arrow | TokenKind::Private)
        ) {
            return;
        }
        let next_name = self
            .tokens
            .get(at + 1)
            .filter(|t| t.kind == TokenKind::Ident)
            .map(|t| t.text);
        match (self.tokens[at].kind, next_name) {
            (TokenKind::Function, Some(name)) => self.found(DefinitionKind::Function, name),
            (TokenKind::Global, Some(_)) => self.globals(at + 1),
            (TokenKind::Probe, _) => self.aliases(at + 1),
            (TokenKind::AtWord, Some(name)) if self.tokens[at].text == "@define" => {
                self.found(DefinitionKind::Macro, name);
            }
            _ => {}
        }
    }

    /// `a, b[10] = 3, c%`
    fn globals(&mut self, mut at: usize) {
        while let Some(name) = self.tokens.get(at).filter(|t| t.kind == TokenKind::Ident) {
            self.found(DefinitionKind::Global, name.text);
            at += 1;
            while let Some(kind) = self.kind(at) {
                use TokenKind::{Assign, LSquare, Minus, Number, Percent, RSquare, String};
                if !matches!(
                    kind,
                    Assign | LSquare | RSquare | Minus | Number | Percent | String
                ) {
                    break;
                }
                at += 1;
            }
            if self.kind(at) != Some(TokenKind::Comma) {
                break;
            }
            at += 1;
        }
    }

    /// `a.b = c =`: names that are followed by an equals sign.
    fn aliases(&mut self, mut at: usize) {
        loop {
            let mut name = String::new();
            // Names and dots take turns: what is no alias is looked at once.
            let mut after_dot = true;
            while let Some(token) = self.tokens.get(at) {
                let is_dot = token.kind == TokenKind::Dot;
                let is_name = token.kind == TokenKind::Ident || token.kind.is_keyword();
                if !(if after_dot { is_name } else { is_dot }) {
                    break;
                }
                after_dot = is_dot;
                name.push_str(token.text);
                at += 1;
            }
            if !matches!(
                self.kind(at),
                Some(TokenKind::Assign | TokenKind::AddAssign)
            ) || name.is_empty()
            {
                return;
            }
            self.found(DefinitionKind::Alias, &name);
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_definitions_of_all_branches() {
        let text = r#"
            global a, b%[10], c = -3, d = "x" "y";
            private global hidden
            private function hidden2() { }
            %( kernel_v >= "3" %?
              function f:long(x) { return x->function }
            %:
              function g() %{ /* pure */ %}
            %)
            probe vm.fault = vm.other = kernel.function("x") !, module("y").function("z") { global_ = 1 }
            probe syscall.open.return += kernel.{function("a"), statement("b")} { }
            probe begin, end { }
            @define M(a, b) %( @a %)
            @define N %( 1 %)
        "#;
        let got: Vec<String> = scan_index(text)
            .iter()
            .map(|d| format!("{:?} {}", d.kind, d.name))
            .collect();
        let want = [
            "Global a",
            "Global b",
            "Global c",
            "Global d",
            "Function f",
            "Function g",
            "Alias vm.fault",
            "Alias vm.other",
            "Alias syscall.open.return",
            "Macro M",
            "Macro N",
        ];
        assert_eq!(got, want);
    }
}
