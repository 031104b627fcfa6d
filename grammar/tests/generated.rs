//! Random trees: each prints to source that parses to the same tree.

#![allow(clippy::unnecessary_box_returns, reason = "trees are made of boxes")]

mod common;

use common::Rng;
use rtap_grammar::ast::*;
use rtap_grammar::source::{FileId, Files, Span};
use rtap_grammar::{MacroLibrary, StaticFacts, diag, parse, print};

const NAMES: [&str; 6] = ["a", "bc", "x1", "pid", "some_name", "y$z"];
const BINARY: [BinaryOp; 20] = [
    BinaryOp::OrOr,
    BinaryOp::AndAnd,
    BinaryOp::BitOr,
    BinaryOp::BitXor,
    BinaryOp::BitAnd,
    BinaryOp::Lt,
    BinaryOp::Le,
    BinaryOp::Gt,
    BinaryOp::Ge,
    BinaryOp::Eq,
    BinaryOp::Ne,
    BinaryOp::Shl,
    BinaryOp::Shr,
    BinaryOp::ShrLogical,
    BinaryOp::Concat,
    BinaryOp::Add,
    BinaryOp::Sub,
    BinaryOp::Mul,
    BinaryOp::Div,
    BinaryOp::Rem,
];

struct Gen {
    rng: Rng,
    in_function: bool,
}

fn ident(name: &str) -> Ident {
    Ident::new(name, Span::NONE)
}

fn expr(kind: ExprKind) -> Expr {
    Expr::new(kind, Span::NONE)
}

fn stmt(kind: StmtKind) -> Stmt {
    Stmt::new(kind, Span::NONE)
}

impl Gen {
    fn name(&mut self) -> Ident {
        let name = *self.rng.pick(&NAMES);
        ident(name)
    }

    fn string(&mut self) -> Vec<u8> {
        (0..self.rng.below(6))
            .map(|_| self.rng.next() as u8)
            .collect()
    }

    fn number(&mut self) -> i64 {
        let bits = self.rng.next();
        (bits >> self.rng.below(64)) as i64
    }

    fn boxed(&mut self, depth: usize) -> Box<Expr> {
        Box::new(self.expr(depth))
    }

    fn exprs(&mut self, depth: usize, least: usize) -> Vec<Expr> {
        (0..least + self.rng.below(3))
            .map(|_| self.expr(depth))
            .collect()
    }

    fn keys(&mut self, depth: usize, wildcards: bool) -> Vec<Key> {
        (0..=self.rng.below(3))
            .map(|_| {
                if wildcards && self.rng.chance(3) {
                    Key::Any(Span::NONE)
                } else {
                    Key::Expr(self.expr(depth))
                }
            })
            .collect()
    }

    fn hist(&mut self, depth: usize) -> Box<Expr> {
        let args = vec![self.expr(depth)];
        Box::new(expr(ExprKind::At {
            op: AtOp::HistLog,
            args,
        }))
    }

    fn indexable(&mut self, depth: usize) -> Indexable {
        if self.rng.chance(6) {
            Indexable::Hist(self.hist(depth))
        } else {
            Indexable::Array(self.name())
        }
    }

    fn context(&mut self) -> Expr {
        let name = *self.rng.pick(&["$x", "$$parms", "$fd_1"]);
        expr(ExprKind::ContextVar(ident(name)))
    }

    /// What can be assigned to.
    fn target(&mut self, depth: usize) -> Box<Expr> {
        let kind = match self.rng.below(4) {
            0 => ExprKind::Name(self.name()),
            1 => ExprKind::Index {
                array: Indexable::Array(self.name()),
                keys: self.keys(depth, false),
            },
            2 => return Box::new(self.context()),
            _ => ExprKind::Member {
                base: Box::new(self.context()),
                field: ident("limit"),
            },
        };
        Box::new(expr(kind))
    }

    /// What `->`, `[` and `$` can follow: a suffix comes last.
    fn base(&mut self, depth: usize) -> Box<Expr> {
        let e = self.expr(depth);
        let unfit = matches!(e.kind, ExprKind::Pretty { .. })
            || matches!(&e.kind, ExprKind::At { op, .. } if op.is_hist());
        Box::new(if unfit { self.context() } else { e })
    }

    fn expr(&mut self, depth: usize) -> Expr {
        if depth == 0 {
            return match self.rng.below(4) {
                0 => expr(ExprKind::Number(self.number())),
                1 => expr(ExprKind::String(self.string().into())),
                2 => self.context(),
                _ => expr(ExprKind::Name(self.name())),
            };
        }
        let d = depth - 1;
        let kind = match self.rng.below(20) {
            0 => ExprKind::Index {
                array: self.indexable(d),
                keys: self.keys(d, false),
            },
            1 => ExprKind::Call {
                name: self.name(),
                args: self.exprs(d, 0),
            },
            2 => ExprKind::Member {
                base: self.base(d),
                field: self.name_without_dollar(),
            },
            3 => ExprKind::Subscript {
                base: self.base(d),
                index: self.boxed(d),
            },
            4 => ExprKind::AddressOf(self.boxed(d)),
            5 => ExprKind::Pretty {
                base: self.base(d),
                deep: self.rng.chance(2),
            },
            6 => {
                let op =
                    *self
                        .rng
                        .pick(&[UnaryOp::Neg, UnaryOp::Plus, UnaryOp::Not, UnaryOp::BitNot]);
                ExprKind::Unary {
                    op,
                    operand: self.boxed(d),
                }
            }
            7 => {
                let op = *self.rng.pick(&[IncDecOp::Inc, IncDecOp::Dec]);
                ExprKind::IncDec {
                    op,
                    prefix: self.rng.chance(2),
                    operand: self.target(d),
                }
            }
            8..=12 => {
                let op = *self.rng.pick(&BINARY);
                ExprKind::Binary {
                    op,
                    lhs: self.boxed(d),
                    rhs: self.boxed(d),
                }
            }
            13 => ExprKind::Ternary {
                cond: self.boxed(d),
                then: self.boxed(d),
                otherwise: self.boxed(d),
            },
            14 => {
                let op = match self.rng.below(3) {
                    0 => AssignOp::Set,
                    1 => AssignOp::Push,
                    _ => AssignOp::Compute(*self.rng.pick(&[
                        BinaryOp::Add,
                        BinaryOp::Concat,
                        BinaryOp::Shr,
                    ])),
                };
                ExprKind::Assign {
                    op,
                    target: self.target(d),
                    value: self.boxed(d),
                }
            }
            15 => {
                let pattern = StrLit {
                    value: self.string().into(),
                    span: Span::NONE,
                };
                ExprKind::Regex {
                    expr: self.boxed(d),
                    negated: self.rng.chance(2),
                    pattern,
                }
            }
            16 => ExprKind::In {
                keys: self.keys(d, true),
                array: self.indexable(d),
            },
            17 => {
                let op = *self.rng.pick(&[AtOp::Count, AtOp::Defined, AtOp::Entry]);
                ExprKind::At {
                    op,
                    args: vec![self.expr(d)],
                }
            }
            18 => ExprKind::Embedded(Embedded {
                code: " x ".into(),
                span: Span::NONE,
            }),
            _ => return self.expr(0),
        };
        expr(kind)
    }

    fn name_without_dollar(&mut self) -> Ident {
        let name = *self.rng.pick(&["a", "next", "string", "f_2"]);
        ident(name)
    }

    fn block(&mut self, depth: usize, in_loop: bool) -> Block {
        let stmts = (0..self.rng.below(4))
            .map(|_| self.stmt(depth, in_loop))
            .collect();
        Block {
            stmts,
            span: Span::NONE,
        }
    }

    fn body(&mut self, depth: usize, in_loop: bool) -> Box<Stmt> {
        if self.rng.chance(8) {
            return Box::new(stmt(StmtKind::Null));
        }
        Box::new(self.stmt(depth, in_loop))
    }

    fn sort(&mut self) -> Option<Sort> {
        let dir = *self.rng.pick(&[SortDir::Ascending, SortDir::Descending]);
        self.rng.chance(2).then_some(Sort {
            dir,
            span: Span::NONE,
        })
    }

    fn foreach(&mut self, depth: usize) -> StmtKind {
        let plain = |name| ForeachVar { name, sort: None };
        let mut keys: Vec<ForeachVar> = (0..=self.rng.below(2))
            .map(|_| plain(self.name()))
            .collect();
        let value = self.rng.chance(2).then(|| plain(self.name()));
        let mut array_sort = None;
        let mut sort_op = None;
        if self.rng.chance(2) {
            keys[0].sort = self.sort();
        } else {
            array_sort = self.sort();
            if array_sort.is_some() && self.rng.chance(2) {
                sort_op = Some(AtOp::Sum);
            }
        }
        let array = self.indexable(1);
        let slice = match &array {
            Indexable::Array(_) if self.rng.chance(3) => self.keys(1, true),
            _ => Vec::new(),
        };
        let limit = self.rng.chance(3).then(|| self.expr(1));
        let body = *self.body(depth, true);
        StmtKind::Foreach(Box::new(Foreach {
            value,
            keys,
            array,
            slice,
            array_sort,
            sort_op,
            limit,
            body,
        }))
    }

    fn stmt(&mut self, depth: usize, in_loop: bool) -> Stmt {
        if depth == 0 {
            return stmt(StmtKind::Expr(self.expr(3)));
        }
        let d = depth - 1;
        let kind = match self.rng.below(12) {
            0 => StmtKind::Block(self.block(d, in_loop)),
            1 | 2 => {
                let otherwise = self.rng.chance(2).then(|| self.body(d, in_loop));
                let mut then = self.body(d, in_loop);
                if otherwise.is_some() && ends_in_open_if(&then) {
                    then = Box::new(stmt(StmtKind::Block(Block {
                        stmts: vec![*then],
                        span: Span::NONE,
                    })));
                }
                StmtKind::If {
                    cond: self.expr(2),
                    then,
                    otherwise,
                }
            }
            3 => StmtKind::While {
                cond: self.expr(2),
                body: self.body(d, true),
            },
            4 => {
                let mut part = || self.rng.chance(2).then(|| self.expr(2));
                let (init, cond, step) = (part(), part(), part());
                StmtKind::For {
                    head: Box::new(ForHead { init, cond, step }),
                    body: self.body(d, true),
                }
            }
            5 => self.foreach(d),
            6 if in_loop => {
                if self.rng.chance(2) {
                    StmtKind::Break
                } else {
                    StmtKind::Continue
                }
            }
            7 if self.in_function => StmtKind::Return(self.rng.chance(2).then(|| self.expr(2))),
            8 => StmtKind::Next,
            9 => {
                let keys = self.keys(1, true);
                let array = Indexable::Array(self.name());
                StmtKind::Delete(expr(ExprKind::Index { array, keys }))
            }
            10 => StmtKind::Try {
                body: self.block(d, in_loop),
                message: self.rng.chance(2).then(|| self.name()),
                handler: self.block(d, in_loop),
            },
            _ => StmtKind::Expr(self.expr(3)),
        };
        stmt(kind)
    }

    fn literal(&mut self) -> Literal {
        let value = if self.rng.chance(2) {
            LiteralValue::Number(self.number())
        } else {
            LiteralValue::String(self.string().into())
        };
        Literal {
            value,
            span: Span::NONE,
        }
    }

    fn component(&mut self, depth: usize) -> Component {
        if depth > 0 && self.rng.chance(4) {
            let points = (0..=self.rng.below(3))
                .map(|_| self.plain_point(depth - 1))
                .collect();
            return Component::Braces {
                points,
                span: Span::NONE,
            };
        }
        let name = *self
            .rng
            .pick(&["a", "sys*", "*", "function", "if", "**", "x*y2"]);
        let name = ident(name);
        let arg = self.rng.chance(3).then(|| self.literal());
        Component::Name { name, arg }
    }

    fn plain_point(&mut self, depth: usize) -> ProbePoint {
        let mut components = vec![Component::Name {
            name: ident("kernel"),
            arg: None,
        }];
        components.extend((0..self.rng.below(3)).map(|_| self.component(depth)));
        let sufficiency = Sufficiency::Required;
        ProbePoint {
            components,
            sufficiency,
            condition: None,
            span: Span::NONE,
        }
    }

    fn point(&mut self) -> ProbePoint {
        let all = [
            Sufficiency::Required,
            Sufficiency::Optional,
            Sufficiency::Sufficient,
        ];
        let sufficiency = *self.rng.pick(&all);
        let condition = self.rng.chance(3).then(|| self.boxed(2));
        ProbePoint {
            sufficiency,
            condition,
            ..self.plain_point(2)
        }
    }

    fn points(&mut self) -> Vec<ProbePoint> {
        (0..=self.rng.below(3)).map(|_| self.point()).collect()
    }

    fn ty(&mut self) -> Option<TypeRef> {
        let name = *self.rng.pick(&[TypeName::Long, TypeName::String]);
        self.rng.chance(2).then_some(TypeRef {
            name,
            span: Span::NONE,
        })
    }

    fn item(&mut self) -> Item {
        let span = Span::NONE;
        match self.rng.below(5) {
            0 => Item::Probe(Probe {
                points: self.points(),
                body: self.block(4, false),
                span,
            }),
            1 => {
                let parts = vec![ident("al"), ident("return")];
                let names = (0..=self.rng.below(2))
                    .map(|_| AliasName {
                        parts: parts.clone(),
                        span,
                    })
                    .collect();
                let mut body = || Some(self.block(3, false));
                let (prologue, epilogue) = match body().map_or(0, |b| b.stmts.len()) {
                    0 => (body(), body()),
                    1 => (None, body()),
                    _ => (body(), None),
                };
                Item::Alias(Alias {
                    names,
                    points: self.points(),
                    prologue,
                    epilogue,
                    span,
                })
            }
            2 => {
                self.in_function = true;
                let body = FunctionBody::Block(self.block(4, false));
                self.in_function = false;
                let params = ["p", "q", "r"][..self.rng.below(4)]
                    .iter()
                    .map(|p| Param {
                        name: ident(p),
                        ty: self.ty(),
                    })
                    .collect();
                let value = LiteralValue::Number(7);
                let priority = self.rng.chance(3).then_some(Literal { value, span });
                let (private, name, ret) = (self.rng.chance(2), self.name(), self.ty());
                Item::Function(Function {
                    private,
                    name,
                    ret,
                    params,
                    priority,
                    body,
                    span,
                })
            }
            3 => {
                let value = LiteralValue::Number(1 + self.rng.below(1000) as i64);
                let array = GlobalVar {
                    name: self.name(),
                    wrap: self.rng.chance(2),
                    size: self.rng.chance(2).then_some(Literal { value, span }),
                    init: None,
                };
                let init = Some(self.literal());
                let scalar = GlobalVar {
                    name: self.name(),
                    wrap: false,
                    size: None,
                    init,
                };
                Item::Global(GlobalDecl {
                    private: self.rng.chance(2),
                    vars: vec![array, scalar],
                    span,
                })
            }
            _ => Item::Embedded(Embedded {
                code: " code ".into(),
                span,
            }),
        }
    }
}

/// Whether an `else` after this statement would belong to an `if` in it.
fn ends_in_open_if(s: &Stmt) -> bool {
    match &s.kind {
        StmtKind::If {
            otherwise: None, ..
        } => true,
        StmtKind::If {
            otherwise: Some(s), ..
        }
        | StmtKind::While { body: s, .. }
        | StmtKind::For { body: s, .. } => ends_in_open_if(s),
        StmtKind::Foreach(f) => ends_in_open_if(&f.body),
        _ => false,
    }
}

#[test]
fn random_trees_print_to_source_that_parses_to_the_same_tree() {
    let facts = StaticFacts {
        guru: true,
        ..StaticFacts::default()
    };
    let macros = MacroLibrary::new();
    for seed in 0..3000 {
        let mut g = Gen {
            rng: Rng(seed),
            in_function: false,
        };
        let items: Vec<Item> = (0..=g.rng.below(3)).map(|_| g.item()).collect();
        let file = File {
            id: FileId::NONE,
            items,
        };
        for text in [print::print(&file), print::print_explicit(&file)] {
            let mut files = Files::new();
            let id = files.add(format!("seed {seed}"), text.as_str(), false);
            let mut parsed = parse(&mut files, id, &facts, &macros);
            let bad = parsed.diagnostics.render(&files, diag::Style::Plain);
            assert!(bad.is_empty(), "seed {seed}\n{text}\n{bad}");
            strip_spans(&mut parsed.file);
            assert!(
                parsed.file == file,
                "seed {seed}: another tree after\n{text}\n{:#?}\n{file:#?}",
                parsed.file
            );
        }
    }
}
