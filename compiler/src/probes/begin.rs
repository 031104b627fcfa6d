//! `begin`, `end`, `error`, `never`: run by rtap itself, in user space.

use rtap_grammar::diag::Diagnostic;

use super::{Candidate, Kind, Request};
use crate::image::Attach;

pub(super) const KIND: Kind = Kind {
    name: "begin",
    forms: &[
        "begin",
        "begin(number)",
        "end",
        "end(number)",
        "error",
        "error(number)",
        "never",
    ],
    doc: "once, when the session begins or ends; smaller numbers first",
    resolve,
};

#[expect(
    clippy::unnecessary_wraps,
    reason = "the functions of all rows have one type"
)]
fn resolve(request: &Request<'_>) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let Some(component) = request.components.first() else {
        return Ok(Vec::new());
    };
    let name = &*component.name;
    let number = request.number(name);
    let priority = number.unwrap_or(0);
    let attach = match name {
        "begin" => Attach::Begin { priority },
        "end" => Attach::End { priority },
        "error" => Attach::Error { priority },
        _ => Attach::Never,
    };
    let text = number.map_or_else(|| name.to_owned(), |n| format!("{name}({n})"));
    Ok(vec![Candidate::user_side(text, attach)])
}
