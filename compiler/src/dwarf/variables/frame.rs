//! The tables that only locations need: lists of locations by address, and where frames are.
//!
//! They are read when a location is asked for: most points need none, and they may have to be unpacked.

use gimli::{
    BaseAddresses, CfaRule, DebugFrame, DebugLoc, DebugLocLists, EhFrame, EndianSlice,
    LittleEndian, LocationLists, SectionId, UnwindContext, UnwindSection,
};
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSection};

use super::super::bytes::{Bytes, SharedFile, contents};
use super::super::relocate::{Layout, is_relocatable};
use super::super::sections::load;
use super::super::{DebugInfo, DwarfError, Slice};
use super::location::{Missing, Surroundings, Value};
use super::stack;
use crate::lir::BinOp;

/// Bytes of an address.
const ADDRESS_BYTES: u8 = 8;

/// Sections that tell where variables are.
#[derive(Debug)]
pub(in crate::dwarf) struct LocationTables {
    lists: Bytes,
    old_lists: Bytes,
    debug_frame: Bytes,
    eh_frame: Bytes,
    /// Where the latter is loaded, and the code.
    eh_address: u64,
    text_address: u64,
}

impl LocationTables {
    fn read(file: &SharedFile) -> Result<Self, DwarfError> {
        let elf = ElfFile64::<Endianness, _>::parse(contents(file))?;
        let layout = is_relocatable(&elf).then(|| Layout::of(&elf));
        let section = |id: SectionId| load(&elf, id, Some(file), layout.as_ref());
        let address = |name: &str| elf.section_by_name(name).map_or(0, |found| found.address());
        Ok(Self {
            lists: section(SectionId::DebugLocLists)?,
            old_lists: section(SectionId::DebugLoc)?,
            debug_frame: section(SectionId::DebugFrame)?,
            // Of what is not linked yet it says where things are from where it is loaded itself.
            eh_frame: match &layout {
                None => section(SectionId::EhFrame)?,
                Some(_) => Bytes::Own(Vec::new()),
            },
            eh_address: address(".eh_frame"),
            text_address: address(".text"),
        })
    }

    /// Lists of locations.
    pub fn lists(&self) -> LocationLists<Slice<'_>> {
        LocationLists::new(
            DebugLoc::new(&self.old_lists, LittleEndian),
            DebugLocLists::new(&self.lists, LittleEndian),
        )
    }
}

impl DebugInfo {
    /// The tables that tell where variables are.
    pub(in crate::dwarf) fn location_tables(&self) -> Result<&LocationTables, DwarfError> {
        let read = self.location_tables.get_or_init(|| match &self.file {
            Some(file) => LocationTables::read(file),
            None => Err(DwarfError::None),
        });
        read.as_ref().map_err(Clone::clone)
    }
}

impl<'d> Surroundings<'_, 'd> {
    /// The address of the function's frame: of the stack where it was called.
    pub(super) fn frame_address(&self, level: u8) -> Result<Value, Missing> {
        if let Some(known) = self.known_address.get() {
            return known.clone();
        }
        let found = self.told_by_frames(level);
        self.known_address.get_or_init(|| found).clone()
    }

    fn told_by_frames(&self, level: u8) -> Result<Value, Missing> {
        let mut frames = DebugFrame::new(&self.tables.debug_frame, LittleEndian);
        frames.set_address_size(ADDRESS_BYTES);
        let bases = BaseAddresses::default()
            .set_eh_frame(self.tables.eh_address)
            .set_text(self.tables.text_address);
        let mut of_exceptions = EhFrame::new(&self.tables.eh_frame, LittleEndian);
        of_exceptions.set_address_size(ADDRESS_BYTES);
        match self.row(&frames, &bases, level)? {
            Some(found) => Ok(found),
            None => self
                .row(&of_exceptions, &bases, level)?
                .ok_or(Missing::NoFrame),
        }
    }

    fn row<S>(
        &self,
        section: &S,
        bases: &BaseAddresses,
        level: u8,
    ) -> Result<Option<Value>, Missing>
    where
        S: UnwindSection<EndianSlice<'d, LittleEndian>>,
    {
        let mut cx = UnwindContext::new();
        let found =
            section.unwind_info_for_address(bases, &mut cx, self.address, S::cie_from_offset);
        let row = match found {
            Ok(row) => row,
            Err(gimli::Error::NoUnwindInfoForAddress) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => Value::Binary(
                BinOp::Add,
                Box::new(Value::Register(register.0)),
                Box::new(Value::Constant(*offset)),
            ),
            CfaRule::Expression(expression) => {
                let expression = expression.get(section)?;
                match stack::evaluate(self, expression, level)? {
                    super::Location::Memory(address) => address,
                    _ => return Err(Missing::NoFrame),
                }
            }
        }))
    }
}
