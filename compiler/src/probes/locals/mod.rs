//! What handlers inside of the kernel's functions see: variables and parameters, by the locations that debug information
//! (DWARF) gives at the address. So too at entry and return of functions of which BTF tells no parameters.
//!
//! Debug information is read when a variable is asked for.

mod lower;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use rtap_grammar::source::Span;
use rustc_hash::FxHashMap;

use super::function::{Place, values};
use super::{ContextVars, Typed, VarInfo};
use crate::access::{BtfType, btf_of};
use crate::btf::Btf;
use crate::dwarf::{self, TypeRef, Variable, Variables};
use crate::resolve::Cx;
use crate::target::{Fetch, KernelObject, Target, Unavailable};
use lower::Lowering;

/// Which instruction is probed, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// This one is about to run.
    Instruction,
    /// The function that begins here has returned.
    Return,
}

/// The variables at an instruction of the kernel.
pub(super) struct DebugVars {
    place: Place,
    module: Option<Rc<str>>,
    moment: Moment,
    /// The function that is meant, which may have been inlined; `None` for the innermost one.
    function: Option<String>,
    /// Whether debug information may be fetched.
    fetch: Fetch,
    /// The file and the address in it, where the point was found there.
    in_file: Option<(Arc<KernelObject>, u64)>,
    /// Why debug information has to be asked, for messages.
    why: Option<String>,
    known: OnceCell<Result<Known, String>>,
    /// The variable that was last asked for in vain, and what is the matter with it.
    refused: RefCell<Option<(String, String)>>,
}

/// What a type is described by.
fn types_of(ty: &BtfType, target: &dyn Target) -> Result<Btf, Unavailable> {
    match &ty.made {
        Some(made) => Ok(made.0.clone()),
        None => btf_of(target, ty.module.as_deref()),
    }
}

/// What debug information tells.
struct Known {
    object: Arc<KernelObject>,
    variables: Variables,
    types: RefCell<FxHashMap<Option<TypeRef>, Option<BtfType>>>,
}

impl DebugVars {
    /// Those at an instruction that is named without its source.
    pub fn at(place: &Place, function: Option<&str>) -> Self {
        Self {
            place: place.clone(),
            module: place.module.as_deref().map(Rc::from),
            moment: Moment::Instruction,
            // Copies that are optimised for their callers have the name of what they are copies of.
            function: function.map(|name| name.split('.').next().unwrap_or(name).to_owned()),
            fetch: Fetch::Yes,
            in_file: None,
            why: None,
            known: OnceCell::new(),
            refused: RefCell::default(),
        }
    }

    /// Those at an address of the file, in the function of that name.
    pub fn of_source(place: &Place, found: &dwarf::Place, object: &Arc<KernelObject>) -> Self {
        Self {
            in_file: Some((Arc::clone(object), found.address)),
            function: Some(found.function.clone()),
            ..Self::at(place, None)
        }
    }

    /// Those of a whole function that BTF does not describe, for the reason that is given.
    pub fn of_function(place: &Place, moment: Moment, why: String) -> Self {
        Self {
            moment,
            fetch: Fetch::No,
            why: Some(why),
            ..Self::at(place, Some(&place.name))
        }
    }

    /// What debug information tells, or why it does not.
    fn known(&self, target: &dyn Target) -> Result<&Known, &String> {
        self.known.get_or_init(|| self.read(target)).as_ref()
    }

    fn read(&self, target: &dyn Target) -> Result<Known, String> {
        let (object, address) = match &self.in_file {
            Some((object, address)) => (Arc::clone(object), *address),
            None => {
                let found = target.kernel_object(self.module.as_deref(), self.fetch);
                let object = found.map_err(|why| match why.help() {
                    Some(help) => format!("{why} ({help})"),
                    None => why.to_string(),
                })?;
                let address = self.address_in(&object, target);
                (
                    object,
                    address.ok_or("its debug information does not have this code")?,
                )
            }
        };
        let found = object.info.variables_at(address, self.function.as_deref());
        let variables = found.map_err(|error| format!("{}: {error}", object.path))?;
        Ok(Known {
            object,
            variables: variables.ok_or("its debug information knows of no function there")?,
            types: RefCell::default(),
        })
    }

    /// The address in the file that is the place in the running kernel.
    fn address_in(&self, object: &KernelObject, target: &dyn Target) -> Option<u64> {
        let mut named = object.named(&self.place.name);
        let first = named.next()?;
        let start = match self.place.address {
            0 => first.start,
            address => {
                let symbols = target.symbols().ok()?;
                let mut all = object.named(&self.place.name);
                let is_it = |start: u64| {
                    object.loaded_at(start, &symbols, self.module.as_deref()) == Some(address)
                };
                all.find(|symbol| is_it(symbol.start))?.start
            }
        };
        start.checked_add(self.place.offset)
    }

    /// A type as access works with it.
    fn c_type(&self, known: &Known, target: &dyn Target, ty: Option<TypeRef>) -> Option<BtfType> {
        if let Some(found) = known.types.borrow().get(&ty) {
            return found.clone();
        }
        let found = BtfType::described(&known.object.info, ty, target, self.module.clone());
        known.types.borrow_mut().insert(ty, found.clone());
        found
    }

    fn c_name(&self, known: &Known, target: &dyn Target, ty: Option<TypeRef>) -> String {
        let Some(found) = self.c_type(known, target, ty) else {
            return "?".to_owned();
        };
        let btf = types_of(&found, target).ok();
        btf.map_or_else(|| "?".to_owned(), |btf| btf.c_name(found.id))
    }

    /// The value of a variable, or why it has none, as a clause about it.
    fn value(
        &self,
        cx: &mut Cx<'_>,
        known: &Known,
        variable: &Variable,
        span: Span,
    ) -> Result<Typed, String> {
        let location = variable.location.as_ref().map_err(ToString::to_string)?;
        let target = cx.session.target;
        let no_type = || "its type is not told".to_owned();
        variable.ty.ok_or_else(no_type)?;
        let ty = self
            .c_type(known, target, variable.ty)
            .ok_or_else(no_type)?;
        let btf = types_of(&ty, target).map_err(|why| why.to_string())?;
        let lowering = Lowering {
            object: &known.object,
            module: self.module.as_deref(),
            moment: self.moment,
            span,
        };
        lowering.variable(cx, location, ty, &btf)
    }

    fn shown(&self, cx: &Cx<'_>, wanted: impl Fn(&Variable) -> bool) -> Vec<VarInfo> {
        let target = cx.session.target;
        let Ok(known) = self.known(target) else {
            return Vec::new();
        };
        let info = |variable: &Variable| VarInfo {
            name: variable.name.clone(),
            c_type: self.c_name(known, target, variable.ty),
        };
        let all = known.variables.all.iter();
        all.filter(|variable| wanted(variable)).map(info).collect()
    }
}

impl ContextVars for DebugVars {
    fn get(&self, cx: &mut Cx<'_>, name: &str, span: Span) -> Option<Typed> {
        let target = cx.session.target;
        let known = self.known(target).ok()?;
        if name == "return" && self.is_return() {
            let result = known.variables.result?;
            let ty = self.c_type(known, target, Some(result))?;
            let btf = types_of(&ty, target).ok()?;
            return values::returned(&btf, ty, span);
        }
        let variable = known.variables.get(name)?;
        match self.value(cx, known, variable, span) {
            Ok(value) => Some(value),
            Err(why) => {
                self.refused.replace(Some((name.to_owned(), why)));
                None
            }
        }
    }

    fn list(&self, cx: &Cx<'_>) -> Vec<VarInfo> {
        self.shown(cx, |_| true)
    }

    fn locals(&self, cx: &Cx<'_>) -> Vec<VarInfo> {
        self.shown(cx, |variable| !variable.is_parameter)
    }

    fn is_readable(&self, cx: &Cx<'_>, name: &str) -> bool {
        let known = self.known(cx.session.target).ok();
        let location = known.and_then(|known| known.variables.get(name)?.location.as_ref().ok());
        location.is_some_and(|at| !self.is_return() || lower::entry_words(at, 1).is_ok())
    }

    fn result(&self, cx: &Cx<'_>) -> Option<String> {
        let target = cx.session.target;
        let known = self.known(target).ok().filter(|_| self.is_return())?;
        let result = known.variables.result?;
        Some(self.c_name(known, target, Some(result)))
    }

    fn has_registers(&self) -> bool {
        true
    }

    fn is_return(&self) -> bool {
        self.moment == Moment::Return
    }

    /// Where the file is known already: what all variables are; else the place.
    fn identity(&self) -> String {
        let Place {
            name,
            module,
            address,
            offset,
        } = &self.place;
        let module = module.as_deref().unwrap_or("");
        if let Some((object, address)) = &self.in_file {
            let found = object.info.variables_at(*address, self.function.as_deref());
            if let Ok(Some(variables)) = found {
                return format!("{module} {variables:?}");
            }
        }
        format!("{module} {name} {address:#x} {offset:#x}")
    }

    fn module(&self) -> Option<&str> {
        self.module.as_deref()
    }

    fn remark(&self, cx: &Cx<'_>, name: &str) -> Option<String> {
        let why = self.why.as_deref();
        let known = match self.known(cx.session.target) {
            Ok(known) => known,
            Err(problem) => {
                let why = why.unwrap_or(
                    "where variables are inside of a function only debug information (DWARF) tells",
                );
                let registers = match self.why {
                    Some(_) => "long_arg(n), pointer_arg(n) and returnval() read the registers",
                    None => "register(\"rax\") reads a register",
                };
                return Some(format!("{why}; {problem}; {registers}"));
            }
        };
        let function = &known.variables.function;
        if name == "return" {
            return Some(if self.is_return() {
                format!("'{function}' returns nothing")
            } else {
                "only '.return' probes have a result".to_owned()
            });
        }
        let Some(variable) = known.variables.get(name) else {
            let all = known.variables.all.iter();
            let unkept = all.filter(|variable| variable.location.is_err());
            let names: Vec<String> = unkept
                .map(|variable| format!("${}", variable.name))
                .collect();
            return (!names.is_empty())
                .then(|| format!("not kept at this instruction: {}", names.join(", ")));
        };
        let what = if variable.is_parameter {
            "parameter"
        } else {
            "variable"
        };
        let refused = self.refused.borrow();
        let (_, why) = refused.as_ref().filter(|(refused, _)| refused == name)?;
        Some(format!("it is a {what} of '{function}', but {why}"))
    }
}
