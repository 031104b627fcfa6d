//! Addresses of the kernel's symbols: globals of their own, set when the script begins, since they differ
//! from boot to boot. Those that pruning leaves nobody to ask for are not looked up.

use rtap_grammar::source::Span;

use super::Cx;
use crate::hir::Global;

impl Cx<'_> {
    /// The global that holds a symbol's address.
    pub(crate) fn symbol_global(
        &mut self,
        name: &str,
        module: Option<&str>,
        span: Span,
    ) -> Option<Global> {
        let key = (name.to_owned(), module.unwrap_or_default().to_owned());
        let known = self.addresses.get_index_of(&key);
        let number = known.unwrap_or(self.addresses.len());
        let global = format!("_address_{number}");
        if known.is_none() {
            // Before all other handlers: those of tapsets may need it.
            let text = format!(
                "global {global}\n\
                 probe begin(-9223372036854775808) {{ {global} = __symbol_address(\"{name}\", \"{}\") }}\n",
                key.1
            );
            self.addresses.insert(key);
            let id = self.files.add("the kernel's symbols", text, true);
            let (file, diags) = self.loader.parse(self.files, id);
            self.diags.extend(diags);
            self.address_files.push(id);
            self.blame(Span::new(id, 0, u32::MAX), span);
            self.register(file);
        }
        let index = self.find_global(&global, self.scope.file)?;
        let global = self.use_global(index, 0, span)?;
        self.program.globals[global].read = true;
        Some(global)
    }
}
