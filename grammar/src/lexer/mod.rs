//! Text to tokens.
//!
//! In: the text of a file, with script arguments already put in ([`args`]). Out: [`Token`]s without
//! blanks and comments. A token that is wrong in itself becomes a poison token: one of the kind it was
//! meant to be, with a [`Flaw`] that is reported if the token turns out to be used.

mod args;
mod string;
mod token;

pub(crate) use args::{Spliced, splice};
pub(crate) use string::{number_value, string_value};
pub use token::{Flaw, Token, TokenKind};

use crate::source::{FileId, Span};
use logos::Logos;

/// The tokens of `text`, which is the text of `file`, or came from it by putting in script arguments.
pub(crate) fn tokens<'s>(file: FileId, text: &'s str, map: Option<&Spliced>) -> Vec<Token<'s>> {
    let mut out: Vec<Token<'s>> = Vec::with_capacity(text.len() / 5);
    let mut lexer = TokenKind::lexer(text);
    let mut places = map.map(Spliced::places);
    // Where the run of bad characters that the last token is ends.
    let mut bad_until = usize::MAX;
    let mut last_end = 0;
    while let Some(result) = lexer.next() {
        let range = lexer.span();
        let first_on_line = text[last_end..range.start].contains('\n');
        last_end = range.end;
        if result.is_err()
            && bad_until == range.start
            && let Some(last) = out.last_mut()
        {
            let start = range.start - last.text.len();
            last.text = &text[start..range.end];
            last.span.end += range.len() as u32;
            bad_until = range.end;
            continue;
        }
        let kind = result.unwrap_or_else(|()| {
            bad_until = range.end;
            TokenKind::Junk
        });
        let (start, end) = match &mut places {
            None => (range.start as u32, range.end as u32),
            Some(places) => places.locate(range.clone()),
        };
        let text = &text[range];
        let flaw = token::flaw(kind, text);
        out.push(Token {
            kind,
            flaw,
            first_on_line,
            span: Span::new(file, start, end),
            text,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::TokenKind::{
        AtWord, Embedded, Function, Ident, Junk, RSquare, ScriptArg, String, TypeLong,
    };
    use super::*;

    fn kinds(text: &str) -> Vec<(TokenKind, &str)> {
        tokens(FileId(0), text, None)
            .into_iter()
            .map(|t| (t.kind, t.text))
            .collect()
    }

    fn texts(text: &str) -> Vec<&str> {
        tokens(FileId(0), text, None)
            .into_iter()
            .map(|t| t.text)
            .collect()
    }

    #[test]
    fn operators_are_the_longest_possible() {
        assert_eq!(
            texts("a<<<b>>>c<<=d>>=e"),
            ["a", "<<<", "b", ">>>", "c", "<<=", "d", ">>=", "e"]
        );
        assert_eq!(texts("a---b"), ["a", "--", "-", "b"]);
        assert_eq!(texts("x%(3+z)"), ["x", "%(", "3", "+", "z", ")"]);
        assert_eq!(texts("f%[1]"), ["f", "%", "[", "1", "]"]);
        assert_eq!(
            texts("a.=b.c!~\"x\""),
            ["a", ".=", "b", ".", "c", "!~", "\"x\""]
        );
    }

    #[test]
    fn dollars_and_ats() {
        assert_eq!(
            kinds("$fd $$parms$$ a$b"),
            [(Ident, "$fd"), (Ident, "$$parms$$"), (Ident, "a$b")]
        );
        assert_eq!(kinds("]$$"), [(RSquare, "]"), (Ident, "$$")]);
        assert_eq!(
            kinds("@count @1 $# $12"),
            [
                (AtWord, "@count"),
                (ScriptArg, "@1"),
                (ScriptArg, "$#"),
                (ScriptArg, "$12")
            ]
        );
        assert_eq!(
            kinds("function foreach2 long"),
            [
                (Function, "function"),
                (Ident, "foreach2"),
                (TypeLong, "long")
            ]
        );
    }

    #[test]
    fn three_styles_of_comments() {
        assert_eq!(
            texts("a # b\nc // d\ne /* f\n * g **/ h"),
            ["a", "c", "e", "h"]
        );
        assert_eq!(texts("#! /usr/bin/stap\nprobe"), ["probe"]);
        assert_eq!(texts("a /* b /* c */ d"), ["a", "d"], "no nesting");
    }

    #[test]
    fn flawed_tokens_keep_their_kind() {
        let flaw = |text| {
            let t = tokens(FileId(0), text, None);
            (t[0].kind, t[0].flaw, t[0].text.len(), t.len())
        };
        assert_eq!(
            flaw("\"abc\nd"),
            (String, Some(Flaw::UnterminatedString), 4, 2)
        );
        assert_eq!(
            flaw("\"abc\\\""),
            (String, Some(Flaw::UnterminatedString), 6, 1)
        );
        assert_eq!(flaw("\""), (String, Some(Flaw::UnterminatedString), 1, 1));
        assert_eq!(flaw("\"\\é\""), (String, None, 5, 1));
        assert_eq!(
            flaw("%{ x"),
            (Embedded, Some(Flaw::UnterminatedEmbedded), 4, 1)
        );
        assert_eq!(flaw("%{%}"), (Embedded, None, 4, 1));
        assert_eq!(flaw("/* x"), (Junk, Some(Flaw::UnterminatedComment), 4, 1));
        assert_eq!(flaw("`\\é` a"), (Junk, Some(Flaw::BadCharacter), 5, 2));
        assert_eq!(flaw("@ a"), (Junk, Some(Flaw::BadCharacter), 1, 2));
    }
}
