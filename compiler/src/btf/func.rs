//! Functions and tracepoints: their parameters with names and types.

use serde::{Deserialize, Serialize};

use super::{Btf, BtfError, Kind, Type, TypeId};

/// A parameter of a function or an argument of a tracepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Its name, empty when BTF does not know it.
    pub name: String,
    /// Its type.
    pub ty: TypeId,
}

/// The parameters and result of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The type that programs attach to by id: the `Func`, or for a tracepoint its
    /// `btf_trace_NAME` typedef.
    pub attach_id: TypeId,
    /// The parameters, without a final `...`.
    pub params: Vec<Param>,
    /// What it returns, `void` included.
    pub result: TypeId,
    /// Whether a `...` follows the parameters.
    pub variadic: bool,
}

impl Btf {
    /// The signature of a kernel function, `None` when BTF does not list it.
    pub fn function(&self, name: &str) -> Result<Option<Signature>, BtfError> {
        match self.find(Kind::Func, name) {
            Some(id) => self.signature(id).map(Some),
            None => Ok(None),
        }
    }

    /// The signature of a function of this blob, not of its base; `None` too where it describes several of that name in
    /// different ways.
    pub fn own_function(&self, name: &str) -> Option<Signature> {
        let first_own = self.own_ids().next()?;
        let own = self.find_all(name).filter(|&id| id >= first_own);
        let mut functions = own
            .filter(|&id| self.kind(id) == Some(Kind::Func))
            .filter_map(|id| self.signature(id).ok());
        let first = functions.next()?;
        let is_alike = |other: Signature| {
            other.params == first.params
                && other.result == first.result
                && other.variadic == first.variadic
        };
        functions.all(is_alike).then_some(first)
    }

    /// The signature of a `Func`, a `FuncProto` or a pointer or typedef to one.
    pub fn signature(&self, id: TypeId) -> Result<Signature, BtfError> {
        let mut at = self.strip(id)?;
        for _ in 0..3 {
            at = match self.get(at)? {
                Type::Func { proto, .. } => self.strip(proto)?,
                Type::Ptr(to) => self.strip(to)?,
                _ => break,
            };
        }
        let Type::FuncProto(proto) = self.get(at)? else {
            return Err(BtfError::WrongKind {
                id: id.0,
                expected: "a function",
            });
        };
        let mut params: Vec<Param> = proto
            .params()
            .map(|(name, ty)| Param {
                name: self.string(name).to_owned(),
                ty,
            })
            .collect();
        let variadic = params
            .last()
            .is_some_and(|p| p.ty.is_void() && p.name.is_empty());
        if variadic {
            params.pop();
        }
        Ok(Signature {
            attach_id: id,
            params,
            result: proto.result,
            variadic,
        })
    }

    /// The arguments of a tracepoint, `None` when the kernel has no such tracepoint.
    ///
    /// The type to attach to is the typedef `btf_trace_NAME`. It points to a prototype
    /// without names, so these come from `__traceiter_NAME` (Linux 5.10), which calls the
    /// attached functions. The leading `void *__data` of both is left out.
    pub fn tracepoint(&self, name: &str) -> Result<Option<Signature>, BtfError> {
        let Some(typedef) = self.find(Kind::Typedef, &format!("btf_trace_{name}")) else {
            return Ok(None);
        };
        let mut signature = self.signature(typedef)?;
        if let Some(iterator) = self.function(&format!("__traceiter_{name}"))?
            && iterator.params.len() == signature.params.len()
        {
            signature.params = iterator.params;
        }
        if !signature.params.is_empty() {
            signature.params.remove(0);
        }
        signature.attach_id = typedef;
        Ok(Some(signature))
    }

    /// The names of all tracepoints of this blob (those of its base excluded), in id order.
    pub fn own_tracepoints(&self) -> impl Iterator<Item = &str> + '_ {
        self.own_ids_of(Kind::Typedef)
            .filter_map(|id| self.name(id).strip_prefix("btf_trace_"))
    }

    /// The names of all functions of this blob (those of its base excluded), in id order.
    pub fn own_functions(&self) -> impl Iterator<Item = &str> + '_ {
        self.own_ids_of(Kind::Func).map(|id| self.name(id))
    }
}
