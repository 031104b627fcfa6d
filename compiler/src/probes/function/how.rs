//! By which mechanism a function is probed, or why by none.

use rtap_grammar::diag::{Diagnostic, codes};

use super::super::Request;
use super::find::{self, Found};
use super::{args, feature_missing};
use crate::session::KprobeStyle;
use crate::target::Feature;

/// Functions left out of a pattern that a warning names.
const MAX_NAMED: usize = 3;

/// How a function is probed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Fentry,
    Fexit {
        /// How many words of arguments are before the result.
        words: u8,
    },
    Kprobe,
    Kretprobe,
}

/// Why a function cannot be probed.
pub(super) struct Refused {
    name: String,
    /// For each way: "no kprobe: …".
    ways: Vec<String>,
}

impl Refused {
    pub fn error(&self, request: &Request<'_>) -> Diagnostic {
        let title = format!("'{}' cannot be probed on this kernel", self.name);
        let diag = Diagnostic::error(codes::POINT_UNAVAILABLE, title)
            .label(request.span, "this probe point");
        self.ways.iter().fold(diag, Diagnostic::note)
    }
}

/// The warning of a pattern.
pub(super) fn left_out(request: &Request<'_>, refused: &[Refused]) -> Diagnostic {
    let count = refused.len();
    let s = if count == 1 { "" } else { "s" };
    let title = format!("{count} function{s} left out");
    let mut diag = Diagnostic::warning(codes::FUNCTIONS_LEFT_OUT, title)
        .label(request.span, "this pattern means them too");
    for why in refused.iter().take(MAX_NAMED) {
        diag = diag.note(format!("'{}': {}", why.name, why.ways.join("; ")));
    }
    if count > MAX_NAMED {
        diag = diag.note(format!("and {} more", count - MAX_NAMED));
    }
    diag
}

/// How to probe a function on this kernel, or why it cannot be.
pub(super) fn choose(
    request: &Request<'_>,
    function: &Found,
    module: Option<&str>,
    is_return: bool,
    only_kprobe: bool,
    many: bool,
) -> Result<How, Refused> {
    let target = request.session.target;
    let style = request.session.options.kprobe_style;
    let kprobe = if is_return {
        How::Kretprobe
    } else {
        How::Kprobe
    };
    let feature = if module.is_some() {
        Feature::FentryModule
    } else {
        Feature::Fentry
    };
    let btf = find::btf(request, module).ok();
    let words = match (&function.signature, &btf) {
        _ if !target.has(feature) => Err(feature_missing(request, feature)),
        (Some(_), _) if !function.is_first => {
            Err(format!("several functions are called '{}'", function.name))
        }
        (Some(s), _) if s.variadic => Err("it takes a variable number of arguments".to_owned()),
        (Some(s), Some(btf)) => args::trampoline_words(target, btf, s),
        _ => Err(function.undescribed()),
    };
    let trampoline = match &words {
        Ok(words) if is_return => How::Fexit {
            words: *words as u8,
        },
        _ => How::Fentry,
    };
    let no_trampoline = words.err();
    let no_kprobe =
        (!target.has(Feature::Kprobe)).then(|| feature_missing(request, Feature::Kprobe));
    let prefer_kprobe = many && target.has(Feature::KprobeMulti);
    let readable = match (&btf, &function.signature) {
        (Some(btf), Some(signature)) => args::are_readable(target, btf, signature, is_return),
        _ => true,
    };
    let by_trampoline = (trampoline, no_trampoline);
    let by_kprobe = (kprobe, no_kprobe);
    let ways = match style {
        KprobeStyle::Fentry => vec![by_trampoline],
        KprobeStyle::Kprobe => vec![by_kprobe],
        KprobeStyle::Auto if only_kprobe || prefer_kprobe || !readable || request.registers => {
            vec![by_kprobe, by_trampoline]
        }
        KprobeStyle::Auto => vec![by_trampoline, by_kprobe],
    };
    let mut refused = Vec::new();
    for (how, why) in ways {
        let what = match how {
            How::Fentry | How::Fexit { .. } => "trampoline",
            How::Kprobe | How::Kretprobe => "kprobe",
        };
        let is_refused =
            || what == "trampoline" && !target.takes_trampoline(module, &function.name);
        match why {
            None if is_refused() => refused.push(format!("no {what}: the kernel refuses it")),
            None => return Ok(how),
            Some(why) => refused.push(format!("no {what}: {why}")),
        }
    }
    Err(Refused {
        name: function.name.clone(),
        ways: refused,
    })
}
