//! Uses of globals: numbering, numbers of keys, initial values.

use rtap_grammar::ast;
use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::Cx;
use crate::hir::{Global, GlobalData, Literal, Ty};
use crate::lir::StatLayout;

impl Cx<'_> {
    /// The HIR global of a declaration, made at its first use.
    pub(crate) fn global_id(&mut self, index: usize) -> Global {
        let sym = &mut self.symbols.globals[index];
        if let Some(id) = sym.id {
            return id;
        }
        let init = sym.var.init.as_ref().map(literal);
        let size = sym.var.size.as_ref().and_then(|size| match size.value {
            ast::LiteralValue::Number(n) => u32::try_from(n).ok(),
            ast::LiteralValue::String(_) | ast::LiteralValue::Error => None,
        });
        let value = match &init {
            Some(Literal::Int(_)) => Ty::Long,
            Some(Literal::Str(_)) => Ty::Str,
            // What `-G` gives can only be a string where it is no number.
            None if sym
                .given
                .as_deref()
                .is_some_and(|text| parse_number(text).is_none()) =>
            {
                Ty::Str
            }
            None => Ty::Unknown,
        };
        let id = self.program.globals.push(GlobalData {
            name: sym.var.name.as_str().to_owned(),
            span: sym.var.name.span,
            keys: Vec::new(),
            key_caps: Vec::new(),
            value,
            value_cap: (0, false),
            forms: 1,
            max_entries: size.unwrap_or(self.session.options.limits.max_map_entries),
            wrap: sym.var.wrap,
            init,
            given: sym.given.clone(),
            read: false,
            written: false,
            library: sym.library,
            stat: StatLayout::default(),
        });
        sym.id = Some(id);
        id
    }

    /// A use of a global with `keys` keys (0: as a scalar). `None` if that cannot be, which
    /// has been reported then.
    pub(crate) fn use_global(&mut self, index: usize, keys: usize, span: Span) -> Option<Global> {
        let id = self.global_id(index);
        let sym = &mut self.symbols.globals[index];
        let name = sym.var.name.as_str();
        let declared = sym.var.name.span;
        let array = sym.var.size.is_some() || sym.var.wrap;
        let scalar = sym.var.init.is_some();
        let (known, first) = *sym.keys.get_or_insert((keys, span));
        if known != keys {
            let diag = Diagnostic::error(
                codes::KEYS_DIFFER,
                format!(
                    "'{name}' is used with {} and with {}",
                    count(known),
                    count(keys)
                ),
            )
            .label(span, format!("{} here", count(keys)))
            .secondary(first, format!("{} here", count(known)));
            let diag = match (known, keys) {
                (0, _) => diag.help("an array is always used with its keys: x[key]"),
                (_, 0) => {
                    diag.help("a whole array can only be iterated, deleted and tested with 'in'")
                }
                _ => diag.help("an array has as many keys everywhere; another one can have others"),
            };
            self.report(diag);
            return None;
        }
        if (keys == 0 && array) || (keys > 0 && scalar) {
            let (what, use_) = if array {
                ("an array", "a scalar")
            } else {
                ("a scalar", "an array")
            };
            let diag = Diagnostic::error(
                codes::KEYS_DIFFER,
                format!("'{name}' is {what}, not {use_}"),
            )
            .label(span, format!("used as {use_} here"))
            .secondary(declared, format!("declared as {what} here"))
            .help(if array {
                "give it its keys, or declare it without '%' and size"
            } else {
                "leave its initial value out where it is declared"
            });
            self.report(diag);
            return None;
        }
        let data = &mut self.program.globals[id];
        if data.keys.len() != keys {
            data.keys = vec![Ty::Unknown; keys];
        }
        Some(id)
    }

    /// The array that a name means, with `keys` keys.
    pub(crate) fn array(&mut self, name: &ast::Ident, keys: usize) -> Option<Global> {
        if self.visible_local(&name.name).is_none()
            && let Some(index) = self.find_global(&name.name, self.scope.file)
        {
            return self.use_global(index, keys, name.span);
        }
        let text = name.as_str();
        let near = did_you_mean(text, self.symbols.script_globals());
        let diag = Diagnostic::error(
            codes::UNKNOWN_ARRAY,
            format!("'{text}' is not declared as a global"),
        )
        .label(name.span, "arrays and statistics have to be global")
        .help_if(near)
        .help(format!("declare it: global {text}"));
        self.report(diag);
        None
    }

    /// Notes the values of `-G name=value`.
    pub(crate) fn override_globals(&mut self) {
        for (name, value) in &self.session.options.globals {
            let found = self
                .symbols
                .globals
                .iter_mut()
                .find(|g| !g.library && g.var.name.as_str() == name);
            let Some(sym) = found else {
                let near = did_you_mean(name, self.symbols.script_globals());
                let diag = Diagnostic::error(
                    codes::UNKNOWN_ARRAY,
                    format!("-G {name}={value}: the script has no global '{name}'"),
                )
                .help_if(near);
                self.report(diag);
                continue;
            };
            sym.given = Some(value.clone());
        }
    }
}

/// "no key", "2 keys".
fn count(keys: usize) -> String {
    match keys {
        0 => "no key".to_owned(),
        1 => "1 key".to_owned(),
        n => format!("{n} keys"),
    }
}

/// A literal of the syntax tree.
pub(crate) fn literal(literal: &ast::Literal) -> Literal {
    match &literal.value {
        ast::LiteralValue::Number(n) => Literal::Int(*n),
        ast::LiteralValue::String(s) => Literal::Str(super::until_nul(s).into()),
        ast::LiteralValue::Error => Literal::Int(0),
    }
}

/// A number as C writes it, with a sign.
pub(crate) fn parse_number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let value = if let Some(hex) = digits.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()?
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8).ok()?
    } else {
        digits.parse::<u64>().ok()?
    };
    let value = value as i64;
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}
