//! `.mark("m")`, `.provider("p").mark("m")`: the SDT marks of a program or library, by uprobe.
//!
//! `$arg1` … are what the mark's operands hold; `$$name` and `$$provider` its names. While a probe is
//! attached, the kernel keeps the mark's semaphore raised in every process that maps the file
//! (Linux 4.20), so that programs can leave out the work for marks that nobody watches.

use std::rc::Rc;
use std::sync::Arc;

use rtap_grammar::diag::{Diagnostic, codes, did_you_mean};
use rtap_grammar::source::Span;

use super::super::{Candidate, ContextVars, Request, Typed, VarInfo, glob};
use super::elsewhere;
use super::subject::Subject;
use crate::access::{CType, add, extend};
use crate::builtins;
use crate::hir::{Expr, ExprKind, Ty};
use crate::image::Attach;
use crate::lir::{BinOp, Context, CtxReg, Exec, Space};
use crate::resolve::{Cx, int};
use crate::target::Binary;
use crate::target::sdt::{Argument, Mark, Memory, Operand, parse_arguments};

/// The marks of one file that a point means.
pub(super) fn resolve(
    request: &Request<'_>,
    subject: &Subject,
    binary: &Arc<Binary>,
) -> Result<Vec<Candidate>, Box<Diagnostic>> {
    let provider = request.text("provider").unwrap_or("*");
    let name = request.text("mark").unwrap_or("*");
    // In a mark's name two underscores stand for the dash that other tools write.
    let is_named = |pattern: &str, name: &str| {
        glob(pattern, name) || { name.contains("__") && glob(pattern, &name.replace("__", "-")) }
    };
    let found: Vec<&Mark> = binary
        .marks()
        .iter()
        .filter(|mark| is_named(provider, &mark.provider) && is_named(name, &mark.name))
        .collect();
    if found.is_empty() {
        return Err(Box::new(missing(request, binary, provider, name)));
    }
    let candidate = |mark: &Mark| Candidate {
        text: format!(
            "process(\"{}\").provider(\"{}\").mark(\"{}\")",
            binary.path, mark.provider, mark.name
        ),
        function: mark.name.to_string(),
        module: binary.path.clone(),
        attach: Attach::Uprobe {
            path: binary.path.clone(),
            offset: mark.offset,
            ref_ctr_offset: mark.semaphore_offset,
            scope: subject.scope,
        },
        selector: None,
        exec: Exec::Kernel,
        context: Context::Regs,
        vars: Rc::new(MarkVars {
            arguments: parse_arguments(&mark.arguments, request.session.target.arch()),
            mark: mark.clone(),
            binary: Arc::clone(binary),
        }),
        share: Some("uprobe".to_owned()),
        entry: None,
        condition: subject.condition(true),
    };
    Ok(found.into_iter().map(candidate).collect())
}

fn missing(request: &Request<'_>, binary: &Binary, provider: &str, name: &str) -> Diagnostic {
    let diag = Diagnostic::error(
        codes::NO_SYMBOL,
        format!("'{}' has no mark '{name}'", binary.path),
    )
    .label(request.span, "not among its SDT marks");
    if binary.marks().is_empty() {
        let diag = diag.note("it has no SDT marks at all (section .note.stapsdt)");
        return elsewhere(diag, binary);
    }
    let of_provider: Vec<&Mark> = binary
        .marks()
        .iter()
        .filter(|mark| glob(provider, &mark.provider))
        .collect();
    if of_provider.is_empty() {
        let providers = binary.marks().iter().map(|mark| &*mark.provider);
        return diag
            .note(format!("nothing in it is of a provider '{provider}'"))
            .help_if(did_you_mean(provider, providers));
    }
    diag.help_if(did_you_mean(
        name,
        of_provider.iter().map(|mark| &*mark.name),
    ))
}

struct MarkVars {
    mark: Mark,
    arguments: Vec<Result<Argument, String>>,
    binary: Arc<Binary>,
}

impl MarkVars {
    fn value(&self, argument: &Argument, span: Span) -> Option<Expr> {
        let Argument {
            size,
            signed,
            operand,
        } = argument;
        let unused = 64 - u32::from(*size) * 8;
        Some(match operand {
            Operand::Register(name, shift) => {
                let mut value = register(name, span)?;
                if *shift != 0 {
                    let shift = Box::new(int(i64::from(*shift), span));
                    let kind = ExprKind::Bin(BinOp::Shr, Box::new(value), shift);
                    value = Expr::new(kind, Ty::Long, span);
                }
                extend(value, unused, *signed, span)
            }
            Operand::Constant(n) if *signed => int(n << unused >> unused, span),
            Operand::Constant(n) => int(((*n as u64) << unused >> unused) as i64, span),
            Operand::Address(symbol, offset) => {
                add(self.symbol(symbol, span)?, int(*offset, span), span)
            }
            Operand::Memory(memory) => {
                let kind = ExprKind::Read {
                    addr: Box::new(self.address(memory, span)?),
                    space: Space::User,
                    size: *size,
                    signed: *signed,
                    bits: None,
                };
                Expr::new(kind, Ty::Long, span)
            }
        })
    }

    fn address(&self, memory: &Memory, span: Span) -> Option<Expr> {
        let mut sum = int(memory.displacement, span);
        if let Some(name) = &memory.symbol {
            sum = add(self.symbol(name, span)?, sum, span);
        }
        if let Some(base) = &memory.base {
            sum = add(register(base, span)?, sum, span);
        }
        if let Some((index, scale)) = &memory.index {
            let scale = Box::new(int(i64::from(*scale), span));
            let scaled = ExprKind::Bin(BinOp::Mul, Box::new(register(index, span)?), scale);
            sum = add(sum, Expr::new(scaled, Ty::Long, span), span);
        }
        Some(sum)
    }

    /// The address of a symbol in the process: as far from the mark, where it is, as in the file.
    fn symbol(&self, name: &str, span: Span) -> Option<Expr> {
        let address = self.binary.operand_symbol(name)?;
        if !self.binary.position_independent {
            return Some(int(address as i64, span));
        }
        let ip = Expr::new(ExprKind::CtxReg(CtxReg::Ip), Ty::Long, span);
        let away = address.wrapping_sub(self.mark.address) as i64;
        Some(add(ip, int(away, span), span))
    }
}

/// A register by its name, zero-extended.
fn register(name: &str, span: Span) -> Option<Expr> {
    let id = builtins::find("u_register")?;
    let name = Expr::new(ExprKind::Str(name.into()), Ty::Str, span);
    Some(Expr::new(ExprKind::Builtin(id, vec![name]), Ty::Long, span))
}

impl ContextVars for MarkVars {
    fn get(&self, _: &mut Cx<'_>, name: &str, span: Span) -> Option<Typed> {
        let expr = if name == "provider" {
            Expr::new(ExprKind::Str((*self.mark.provider).into()), Ty::Str, span)
        } else {
            let number: usize = name.strip_prefix("arg")?.parse().ok()?;
            let argument = self.arguments.get(number.checked_sub(1)?)?;
            self.value(argument.as_ref().ok()?, span)?
        };
        Some(Typed {
            expr,
            ty: CType::Long,
        })
    }

    fn list(&self, _: &Cx<'_>) -> Vec<VarInfo> {
        let known = self.arguments.iter().enumerate();
        known
            .filter_map(|(at, argument)| {
                let argument = argument.as_ref().ok()?;
                let sign = if argument.signed { "" } else { "u" };
                Some(VarInfo {
                    name: format!("arg{}", at + 1),
                    c_type: format!("{sign}int{}_t", u32::from(argument.size) * 8),
                })
            })
            .collect()
    }

    fn has_registers(&self) -> bool {
        true
    }

    /// The arguments; where symbols are concerned the place too.
    fn identity(&self) -> String {
        let by_symbol = self.arguments.iter().flatten().any(|argument| {
            matches!(
                argument.operand,
                Operand::Address(..)
                    | Operand::Memory(Memory {
                        symbol: Some(_),
                        ..
                    })
            )
        });
        let place = if by_symbol { self.mark.address } else { 0 };
        let Mark {
            provider,
            arguments,
            ..
        } = &self.mark;
        format!("{} {provider} {arguments} {place:#x}", self.binary.path)
    }

    fn remark(&self, _: &Cx<'_>, name: &str) -> Option<String> {
        let number: usize = name.strip_prefix("arg")?.parse().ok()?;
        let argument = self.arguments.get(number.checked_sub(1)?)?;
        Some(match argument {
            Err(text) => format!("its operand '{text}' is none that can be read"),
            Ok(_) => format!(
                "its operands '{}' name a symbol that the file does not have",
                self.mark.arguments
            ),
        })
    }
}
