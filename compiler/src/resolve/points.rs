//! Probe points: braces, wildcards, aliases and their suffixes, `?`, `!` and `if`, down to
//! what a probe kind resolves.

use std::cell::RefCell;
use std::rc::Rc;

use rtap_grammar::ast::{self, Name, Sufficiency, Visitor as _};
use rtap_grammar::diag::{Diagnostic, Severity, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::Cx;
use super::mentions::Mentions;
use super::symbols::AliasSym;
use super::syscalls::SyscallUse;
use crate::glob::glob;
use crate::probes::{self, Arg, Candidate, Component, Kind, Match, Request};

/// Nested aliases and brace alternatives of one point, at most: keeps crossed braces from
/// exploding.
const MAX_POINTS: usize = 100_000;
/// Aliases that lead to one another, at most.
const MAX_ALIASES: usize = 100;
/// Aliases that one probe can come through in all: where each names others twice they soon are too many.
const MAX_EXPANSIONS: usize = 10_000;
/// Forms that a message names, at most.
const MAX_FORMS: usize = 8;

/// A place where a probe of the script is attached, with what aliases add to its code.
pub(super) struct Expanded {
    /// The place.
    pub(super) candidate: Candidate,
    /// What it goes through, the script's alias first.
    pub(super) layers: Vec<Layer>,
    /// `if (…)` conditions.
    pub(super) conditions: Vec<Rc<ast::Expr>>,
    /// Whether it may be missing.
    pub(super) optional: bool,
    /// The first alias's name with what follows it, if it goes through one.
    pub(super) written: Option<String>,
}

/// Something that adds to a probe's code.
#[derive(Clone)]
pub(super) enum Layer {
    /// An alias of script or tapset.
    Alias(Rc<ast::Alias>),
    /// A system call's description.
    Syscall(Rc<SyscallUse>),
}

/// A point without braces.
#[derive(Clone)]
struct Flat {
    components: Vec<Component>,
    sufficiency: Sufficiency,
    conditions: Vec<Rc<ast::Expr>>,
}

/// What an expansion has come through.
#[derive(Clone, Default)]
pub(super) struct Chain {
    layers: Vec<Layer>,
    conditions: Vec<Rc<ast::Expr>>,
    /// Components after an alias, which go to its points.
    suffix: Vec<Component>,
    optional: bool,
    /// See [`Expanded::written`].
    written: Option<String>,
}

impl Chain {
    /// The end of the way.
    pub(super) fn arrive(&self, candidate: Candidate, last: Option<Layer>) -> Expanded {
        Expanded {
            candidate,
            layers: self.layers.iter().cloned().chain(last).collect(),
            conditions: self.conditions.clone(),
            optional: self.optional,
            written: self.written.clone(),
        }
    }

    /// What aliases on the way mention.
    fn mentions(&self) -> Mentions {
        let mut mentions = Mentions::default();
        for layer in &self.layers {
            if let Layer::Alias(alias) = layer {
                let blocks = alias.prologue.iter().chain(&alias.epilogue);
                blocks.for_each(|block| mentions.block(block));
            }
        }
        mentions
    }

    /// Notes the name of the first alias.
    pub(super) fn note(&mut self, name: &str) {
        self.written.get_or_insert_with(|| name.to_owned());
    }
}

impl Cx<'_> {
    /// All places that a probe's points mean.
    pub(super) fn expand(&mut self, points: &[ast::ProbePoint]) -> Vec<Expanded> {
        let mut found = Vec::new();
        self.expansions = 0;
        self.points(points, &Chain::default(), &mut found);
        let title = if found.len() > MAX_POINTS {
            format!("a probe of more than {MAX_POINTS} points")
        } else if self.expansions > MAX_EXPANSIONS {
            format!("a probe of more than {MAX_EXPANSIONS} aliases")
        } else {
            return found;
        };
        if let Some(first) = points.first() {
            self.report(
                Diagnostic::error(codes::NESTED_TOO_DEEPLY, title)
                    .label(first.span, "its points begin here")
                    .help("divide them among several probes"),
            );
        }
        found
    }

    fn points(&mut self, points: &[ast::ProbePoint], chain: &Chain, out: &mut Vec<Expanded>) {
        for point in points {
            let mut flats = Vec::new();
            flatten(point, &mut flats);
            for flat in flats {
                if out.len() > MAX_POINTS || self.expansions > MAX_EXPANSIONS {
                    return;
                }
                let before = out.len();
                let ((), diags) = self.capture(|cx| cx.point(&flat, chain, point.span, out));
                let missing = diags.iter().any(|d| d.severity == Severity::Error);
                if flat.sufficiency == Sufficiency::Required || !missing {
                    self.diags.extend(diags);
                }
                if flat.sufficiency == Sufficiency::Sufficient && out.len() > before {
                    return;
                }
            }
        }
    }

    /// One point without braces.
    fn point(&mut self, flat: &Flat, chain: &Chain, span: Span, out: &mut Vec<Expanded>) {
        let mut components = flat.components.clone();
        components.extend(chain.suffix.iter().cloned());
        let mut next = chain.clone();
        next.suffix.clear();
        next.conditions.extend(flat.conditions.iter().cloned());
        next.optional |= flat.sufficiency != Sufficiency::Required;
        let start = out.len();
        let aliases = self.alias_point(&components, &next, span, out);
        let named = probes::named_by(&components);
        if aliases.is_some() || !named.is_empty() {
            let mut problems = aliases.unwrap_or_default();
            for (kind, components) in named {
                let ((), diags) =
                    self.capture(|cx| cx.form_point(kind, &components, &next, span, out));
                problems.extend(diags);
            }
            // Of what a wildcard means some may be missing.
            let wild = components.iter().any(Component::is_wild);
            if wild {
                merge_alike(&mut problems);
            }
            if !(wild && out.len() > start) {
                self.diags.extend(problems);
            }
            return;
        }
        match probes::find(&components) {
            Match::Exact(kind) => self.form_point(kind, &components, &next, span, out),
            Match::Arguments(forms) => {
                if let Some(refusal) = probes::debug_info::refusal(&components, span) {
                    self.report(refusal);
                    return;
                }
                let text = shown(&components);
                self.report(
                    Diagnostic::error(
                        codes::BAD_POINT,
                        format!("'{text}' has a wrong or missing argument"),
                    )
                    .label(span, "in this probe point")
                    .help(format!("write it as {}", forms.join(" or "))),
                );
            }
            Match::Unknown => match probes::debug_info::refusal(&components, span) {
                Some(refusal) => self.report(refusal),
                None => self.unknown_point(&components, span),
            },
        }
    }

    /// A point of a known form.
    fn form_point(
        &mut self,
        kind: &Kind,
        components: &[Component],
        chain: &Chain,
        span: Span,
        out: &mut Vec<Expanded>,
    ) {
        let registers = self.reads_registers || self.needs_registers(&chain.mentions());
        let warnings = RefCell::default();
        let components: Vec<Component> =
            components.iter().map(Component::with_module_name).collect();
        let request = Request {
            session: self.session,
            components: &components,
            span,
            registers,
            optional: chain.optional,
            warnings: &warnings,
        };
        let resolved = (kind.resolve)(&request);
        for warning in warnings.take() {
            self.report(warning);
        }
        match resolved {
            Ok(candidates) => {
                for candidate in candidates {
                    out.push(chain.arrive(candidate, None));
                }
            }
            Err(diag) => self.report(*diag),
        }
    }

    /// Expands aliases; gives what is wrong with their points, `None` if there are no aliases.
    fn alias_point(
        &mut self,
        components: &[Component],
        chain: &Chain,
        span: Span,
        out: &mut Vec<Expanded>,
    ) -> Option<Vec<Diagnostic>> {
        let mut found = false;
        let (matches, used) = self.matching_aliases(components);
        let mut problems = Vec::new();
        if !matches.is_empty() && chain.layers.len() >= MAX_ALIASES {
            let title = format!("more than {MAX_ALIASES} aliases lead to one another");
            self.report(
                Diagnostic::error(codes::NESTED_TOO_DEEPLY, title)
                    .label(span, "one more")
                    .help("name the points themselves in one of these aliases"),
            );
            return Some(Vec::new());
        }
        for sym in matches {
            found = true;
            self.expansions += 1;
            if is_open(&sym, chain) {
                let name = sym.name.join(".");
                self.report(
                    Diagnostic::error(
                        codes::RECURSIVE_ALIAS,
                        format!("alias '{name}' is defined by itself"),
                    )
                    .label(span, "leads back here")
                    .secondary(sym.alias.span, "this alias"),
                );
                return Some(Vec::new());
            }
            self.blame(sym.alias.span, span);
            let mut next = chain.clone();
            let name: Vec<&str> = sym.name.iter().map(|part| &**part).collect();
            let rest = shown(&components[used..]);
            next.note(&if rest.is_empty() {
                name.join(".")
            } else {
                format!("{}.{rest}", name.join("."))
            });
            next.layers.push(Layer::Alias(Rc::clone(&sym.alias)));
            next.suffix = components[used..].to_vec();
            let alias = Rc::clone(&sym.alias);
            let ((), mut diags) = self.capture(|cx| cx.points(&alias.points, &next, out));
            if !next.suffix.is_empty() && !sym.library {
                diags = diags
                    .into_iter()
                    .map(|diag| diag.secondary(span, format!("'.{rest}' comes from here")))
                    .collect();
            }
            problems.extend(diags);
        }
        let (calls, rest) = match self.matching_syscalls(components, span) {
            Some(found_calls) => {
                found = true;
                found_calls
            }
            None => (Vec::new(), 0),
        };
        // There is no limit of simultaneous calls to be set.
        let is_maxactive = matches!(&components[rest.min(components.len())..],
            [one] if &*one.name == "maxactive" && matches!(one.arg, Some(Arg::Number(_))));
        if !calls.is_empty() && rest < components.len() && !is_maxactive {
            let text = shown(&components[rest..]);
            self.report(
                Diagnostic::error(
                    codes::UNKNOWN_POINT,
                    format!("system calls have no '.{text}'"),
                )
                .label(span, "only '.return' can follow the name"),
            );
            return Some(Vec::new());
        }
        for call in calls {
            let mut next = chain.clone();
            next.suffix = components[rest..].to_vec();
            let ((), diags) = self.capture(|cx| cx.syscall_point(call, next, span, out));
            problems.extend(diags);
        }
        found.then_some(problems)
    }

    /// The aliases that a point names, and how many of its components they take: all if
    /// possible, else as many as possible.
    fn matching_aliases(&mut self, components: &[Component]) -> (Vec<Rc<AliasSym>>, usize) {
        let plain = components.iter().take_while(|c| c.arg.is_none()).count();
        for used in (1..=plain).rev() {
            let pattern = &components[..used];
            let mut found = if pattern.iter().any(|c| c.name.contains('*')) {
                self.aliases_like(pattern)
            } else {
                let name = shown(pattern);
                self.pull(self.session.library.alias(&name));
                self.symbols.aliases_named(&name).cloned().collect()
            };
            if !found.is_empty() {
                // The script's own alias hides a tapset's of the same name.
                let own: Vec<Vec<Name>> = found
                    .iter()
                    .filter(|sym| !sym.library)
                    .map(|sym| sym.name.clone())
                    .collect();
                found.retain(|sym| !sym.library || !own.contains(&sym.name));
                return (found, used);
            }
        }
        (Vec::new(), 0)
    }

    /// The aliases whose names match a pattern.
    fn aliases_like(&mut self, pattern: &[Component]) -> Vec<Rc<AliasSym>> {
        let library = self.session.library;
        let files: Vec<usize> = library
            .aliases()
            .filter(|(name, _)| names_match(pattern, &name.split('.').collect::<Vec<_>>()))
            .map(|(_, file)| file)
            .collect();
        self.pull(files);
        let like = |sym: &&Rc<AliasSym>| {
            let parts: Vec<&str> = sym.name.iter().map(|part| &**part).collect();
            names_match(pattern, &parts)
        };
        self.symbols.aliases.iter().filter(like).cloned().collect()
    }

    fn unknown_point(&mut self, components: &[Component], span: Span) {
        let text = shown(components);
        let (alike, forms) = probes::nearest(components);
        let start = shown(&components[..alike]);
        let diag = Diagnostic::error(
            codes::UNKNOWN_POINT,
            format!("there is no probe point '{text}'"),
        )
        .label(span, "neither a probe point nor an alias");
        let library = self.session.library;
        let aliases = self.symbols.aliases.iter().map(|sym| sym.name.join("."));
        let names: Vec<String> = library
            .aliases()
            .map(|(name, _)| name.to_owned())
            .chain(aliases)
            .chain(
                probes::forms().map(|form| form.split('(').next().unwrap_or_default().to_owned()),
            )
            .filter(|name| !name.starts_with('_'))
            .collect();
        let bare: Vec<&str> = components.iter().map(|c| &*c.name).collect();
        let near = did_you_mean(&bare.join("."), names.iter().map(String::as_str));
        let diag = diag.help_if(near);
        let diag = if alike == 0 {
            diag.help("'rtap list' shows all probe points, 'rtap list \"PATTERN\"' some of them")
        } else {
            // Those of the same length say the most, or the shortest.
            let parts = |form: &str| form.split('.').count();
            let has_same = forms.iter().any(|form| parts(form) == components.len());
            let shortest = forms.iter().map(|form| parts(form)).min().unwrap_or(0);
            let length = if has_same { components.len() } else { shortest };
            let best = forms.iter().filter(|form| parts(form) == length);
            let best: Vec<&str> = best.take(MAX_FORMS).copied().collect();
            diag.help(format!("'{start}' is used like this: {}", best.join(", ")))
        };
        self.report(diag);
    }
}

/// Leaves one of the problems that points of a pattern have for the same reason.
fn merge_alike(problems: &mut Vec<Diagnostic>) {
    let mut kept: Vec<(Diagnostic, usize)> = Vec::new();
    for problem in problems.drain(..) {
        let same = kept.iter_mut().find(|(first, _)| {
            first.code == codes::POINT_UNAVAILABLE
                && first.code == problem.code
                && first.notes == problem.notes
                && !first.notes.is_empty()
        });
        match same {
            Some((_, others)) => *others += 1,
            None => kept.push((problem, 0)),
        }
    }
    problems.extend(kept.into_iter().map(|(problem, others)| match others {
        0 => problem,
        1 => problem.note("so it is with one more point that the pattern means"),
        n => problem.note(format!(
            "so it is with {n} more points that the pattern means"
        )),
    }));
}

/// Whether an alias is being expanded already.
fn is_open(sym: &AliasSym, chain: &Chain) -> bool {
    chain.layers.iter().any(|layer| match layer {
        Layer::Alias(open) => Rc::ptr_eq(open, &sym.alias),
        Layer::Syscall(_) => false,
    })
}

/// Whether components (without arguments) match an alias's name, part by part; `**` goes
/// over several parts.
pub(super) fn names_match(components: &[Component], name: &[&str]) -> bool {
    if components.iter().any(|c| c.name.contains("**")) {
        let pattern: Vec<&str> = components.iter().map(|c| &*c.name).collect();
        return glob(&pattern.join(".").replace("**", "*"), &name.join("."));
    }
    components.len() == name.len()
        && components.iter().zip(name).all(|(component, part)| {
            &*component.name == *part || component.is_wild() && glob(&component.name, part)
        })
}

/// Components as written.
pub(super) fn shown(components: &[Component]) -> String {
    let one = |c: &Component| match &c.arg {
        None => c.name.to_string(),
        Some(Arg::Number(n)) => format!("{}({n})", c.name),
        Some(Arg::Text(text)) => format!("{}(\"{}\")", c.name, text.escape_default()),
    };
    components.iter().map(one).collect::<Vec<_>>().join(".")
}

/// Takes the braces out of a point.
fn flatten(point: &ast::ProbePoint, out: &mut Vec<Flat>) {
    let condition = point.condition.as_ref().map(|e| Rc::new((**e).clone()));
    let mut heads = vec![Flat {
        components: Vec::new(),
        sufficiency: point.sufficiency,
        conditions: condition.into_iter().collect(),
    }];
    for component in &point.components {
        match component {
            ast::Component::Name { name, arg } => {
                let arg = arg.as_ref().map(|arg| match &arg.value {
                    ast::LiteralValue::Number(n) => Arg::Number(*n),
                    ast::LiteralValue::String(s) => Arg::Text(s.to_string()),
                    ast::LiteralValue::Error => Arg::Number(0),
                });
                for head in &mut heads {
                    head.components.push(Component {
                        name: Name::clone(&name.name),
                        arg: arg.clone(),
                        span: component.span(),
                    });
                }
            }
            ast::Component::Error(_) => return,
            ast::Component::Braces { points, .. } => {
                let mut tails = Vec::new();
                for point in points {
                    flatten(point, &mut tails);
                }
                let mut crossed = Vec::new();
                for head in &heads {
                    for tail in &tails {
                        if crossed.len() >= MAX_POINTS {
                            break;
                        }
                        let mut flat = head.clone();
                        flat.components.extend(tail.components.iter().cloned());
                        flat.conditions.extend(tail.conditions.iter().cloned());
                        if flat.sufficiency == Sufficiency::Required {
                            flat.sufficiency = tail.sufficiency;
                        }
                        crossed.push(flat);
                    }
                }
                heads = crossed;
            }
        }
    }
    out.extend(heads);
}
