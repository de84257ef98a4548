//! What every aggregate here is made of: a state per group, written once as a `Group` and carried by one type that serves
//! GROUP BY, whole tables, windows with any frame, DISTINCT and WITHIN GROUP. It knows no function.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray};
use datafusion::arrow::compute::{SortOptions, concat, filter};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Literal;
use indexmap::IndexSet;

use super::numbers::equal_rows;
use crate::dialect::functions::{Fidelity, Function, Implementation};

/// Two rows as bytes: what sorts them, and what gives a value back.
pub(super) type KeyAndValue = (Box<[u8]>, Box<[u8]>);

/// What is fixed for one use of an aggregate in a query.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// The function's name in upper case.
    pub(super) name: String,
    /// The types of the arguments.
    pub(super) types: Vec<DataType>,
    /// The arguments that are constants.
    pub(super) constants: Vec<Option<ScalarValue>>,
    /// The type of the result.
    pub(super) returns: DataType,
    /// How WITHIN GROUP orders.
    pub(super) order: Vec<SortOptions>,
    /// The types of what WITHIN GROUP orders by.
    pub(super) order_types: Vec<DataType>,
}

impl Setup {
    /// An argument that is a constant and not NULL.
    pub(super) fn constant(&self, index: usize) -> Option<&ScalarValue> {
        self.constants.get(index).and_then(Option::as_ref).filter(|value| !value.is_null())
    }

    /// A constant argument that is a number.
    pub(super) fn constant_number(&self, index: usize) -> Option<f64> {
        match self.constant(index)?.cast_to(&DataType::Float64).ok()? {
            ScalarValue::Float64(value) => value,
            _ => None,
        }
    }
}

/// The state of one group of one aggregate.
pub(super) trait Group: Default + Send + Sync + fmt::Debug + 'static {
    /// Takes in rows: row `i` of the columns belongs to `groups[at[i]]`. Behind the arguments stand the columns that
    /// WITHIN GROUP orders by, if any and if the rows are not in that order already.
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()>;

    /// The values of groups.
    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef>;

    /// Appends the state as bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Takes in what [`Self::encode`] wrote.
    fn absorb(&mut self, setup: &Setup, bytes: &[u8]) -> Result<()>;

    /// About how many bytes it holds beyond its own size.
    fn size(&self) -> usize {
        0
    }
}

/// The result type of a call from the types and the constants of its arguments, or why there cannot be such a call.
pub(super) type Rule = fn(&str, &[DataType]) -> Result<DataType>;

/// An exact aggregate of which [`Group`] is the state.
pub(super) fn aggregate<G: Group>(
    names: &'static [&'static str],
    arity: RangeInclusive<usize>,
    rule: Rule,
) -> Function {
    let udaf = Aggregate::<G> {
        name: names[0],
        shown: names[0].to_ascii_uppercase(),
        signature: Signature::user_defined(Volatility::Immutable),
        arity,
        rule,
        over_order: false,
        group: PhantomData,
    };
    function(names, udaf)
}

/// The same for an aggregate whose first argument is what WITHIN GROUP orders by, such as PERCENTILE_CONT.
pub(super) fn over_order<G: Group>(
    names: &'static [&'static str],
    arity: RangeInclusive<usize>,
    rule: Rule,
) -> Function {
    let udaf = Aggregate::<G> {
        name: names[0],
        shown: names[0].to_ascii_uppercase(),
        signature: Signature::user_defined(Volatility::Immutable),
        arity,
        rule,
        over_order: true,
        group: PhantomData,
    };
    function(names, udaf)
}

fn function<G: Group>(names: &'static [&'static str], udaf: Aggregate<G>) -> Function {
    Function {
        name: names[0],
        aliases: &names[1..],
        family: "aggregate",
        fidelity: Fidelity::Exact,
        implementation: Implementation::Aggregate(Arc::new(AggregateUDF::new_from_impl(udaf))),
    }
}

/// The same function, approximate.
pub(super) fn approximate(function: Function, how: &'static str) -> Function {
    Function { fidelity: Fidelity::Approximate(how), ..function }
}

struct Aggregate<G> {
    name: &'static str,
    shown: String,
    signature: Signature,
    arity: RangeInclusive<usize>,
    rule: Rule,
    over_order: bool,
    group: PhantomData<fn() -> G>,
}

impl<G> fmt::Debug for Aggregate<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<G> PartialEq for Aggregate<G> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<G> Eq for Aggregate<G> {}

impl<G> Hash for Aggregate<G> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<G: Group> Aggregate<G> {
    fn setup(&self, args: &AccumulatorArgs<'_>) -> Result<Setup> {
        let constant = |expr: &Arc<dyn datafusion::physical_expr::PhysicalExpr>| {
            expr.downcast_ref::<Literal>().map(|literal| literal.value().clone())
        };
        let order_type = |key: &datafusion::physical_expr::PhysicalSortExpr| key.expr.data_type(args.schema);
        Ok(Setup {
            name: self.shown.clone(),
            types: args.expr_fields.iter().map(|field| field.data_type().clone()).collect(),
            constants: args.exprs.iter().map(constant).collect(),
            returns: args.return_field.data_type().clone(),
            order: args.order_bys.iter().map(|key| key.options).collect(),
            order_types: args.order_bys.iter().map(order_type).collect::<Result<_>>()?,
        })
    }
}

impl<G: Group> AggregateUDFImpl for Aggregate<G> {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if self.arity.contains(&types.len()) {
            return Ok(types.to_vec());
        }
        let (least, most) = (*self.arity.start(), *self.arity.end());
        let wanted = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        let noun = if wanted == "1" { "argument" } else { "arguments" };
        plan_err!("`{}` takes {wanted} {noun}, not {}", self.shown, types.len())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        (self.rule)(&self.shown, types)
    }

    fn supports_within_group_clause(&self) -> bool {
        self.over_order
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        if self.over_order { AggregateOrderSensitivity::Insensitive } else { AggregateOrderSensitivity::Beneficial }
    }

    fn with_beneficial_ordering(self: Arc<Self>, _: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[state]", args.name), DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let setup = self.setup(&args)?;
        Ok(if args.is_distinct { Box::new(Whole::<Distinct<G>>::new(setup)) } else { Box::new(Whole::<G>::new(setup)) })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let setup = self.setup(&args)?;
        Ok(if args.is_distinct {
            Box::new(Sliding::<Distinct<G>>::new(setup))
        } else {
            Box::new(Sliding::<G>::new(setup))
        })
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let setup = self.setup(&args)?;
        Ok(if args.is_distinct {
            Box::new(Grouped::<Distinct<G>> { setup, groups: Vec::new() })
        } else {
            Box::new(Grouped::<G> { setup, groups: Vec::new() })
        })
    }
}

fn states<G: Group>(groups: &[G]) -> ArrayRef {
    let mut builder = BinaryBuilder::with_capacity(groups.len(), groups.len() * 16);
    let mut bytes = Vec::new();
    for group in groups {
        bytes.clear();
        group.encode(&mut bytes);
        builder.append_value(&bytes);
    }
    Arc::new(builder.finish())
}

/// The states of many groups.
struct Grouped<G> {
    setup: Setup,
    groups: Vec<G>,
}

impl<G: Group> Grouped<G> {
    fn grow(&mut self, total: usize) {
        if self.groups.len() < total {
            self.groups.resize_with(total, G::default);
        }
    }
}

impl<G: Group> GroupsAccumulator for Grouped<G> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        kept: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let Some(kept) = kept else {
            return G::update(&mut self.groups, &self.setup, values, groups);
        };
        let values = values.iter().map(|column| Ok(filter(column, kept)?)).collect::<Result<Vec<_>>>()?;
        let is_kept = |(row, _): &(usize, &usize)| kept.is_valid(*row) && kept.value(*row);
        let groups: Vec<usize> = groups.iter().enumerate().filter(is_kept).map(|(_, group)| *group).collect();
        G::update(&mut self.groups, &self.setup, &values, &groups)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let groups = emit.take_needed(&mut self.groups);
        G::evaluate(&groups, &self.setup)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![states(&emit.take_needed(&mut self.groups))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let states = values[0].as_binary::<i32>();
        for (row, group) in groups.iter().enumerate().filter(|(row, _)| states.is_valid(*row)) {
            self.groups[*group].absorb(&self.setup, states.value(row))?;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], kept: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let mut alone = Self { setup: self.setup.clone(), groups: Vec::new() };
        alone.update_batch(values, &(0..rows).collect::<Vec<_>>(), kept, rows)?;
        alone.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<G>() + self.groups.iter().map(Group::size).sum::<usize>()
    }
}

/// The state of all rows, or of a window that only grows.
#[derive(Debug)]
struct Whole<G> {
    setup: Setup,
    group: [G; 1],
}

impl<G: Group> Whole<G> {
    fn new(setup: Setup) -> Self {
        Self { setup, group: [G::default()] }
    }
}

impl<G: Group> Accumulator for Whole<G> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |column| column.len());
        G::update(&mut self.group, &self.setup, values, &vec![0; rows])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&G::evaluate(&self.group, &self.setup)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.group[0].size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::try_from_array(&states(&self.group), 0)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let states = values[0].as_binary::<i32>();
        for row in (0..states.len()).filter(|row| states.is_valid(*row)) {
            self.group[0].absorb(&self.setup, states.value(row))?;
        }
        Ok(())
    }
}

/// The rows of a window that loses rows at its start; its value is computed from them each time.
#[derive(Debug)]
struct Sliding<G> {
    setup: Setup,
    rows: Vec<ArrayRef>,
    group: PhantomData<fn() -> G>,
}

impl<G> Sliding<G> {
    fn new(setup: Setup) -> Self {
        Self { setup, rows: Vec::new(), group: PhantomData }
    }
}

impl<G: Group> Accumulator for Sliding<G> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if self.rows.is_empty() {
            self.rows = values.to_vec();
        } else {
            for (rows, added) in self.rows.iter_mut().zip(values) {
                *rows = concat(&[rows.as_ref(), added.as_ref()])?;
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let gone = values.first().map_or(0, |column| column.len());
        for rows in &mut self.rows {
            let gone = gone.min(rows.len());
            *rows = rows.slice(gone, rows.len() - gone);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut group = [G::default()];
        let rows = self.rows.first().map_or(0, |column| column.len());
        G::update(&mut group, &self.setup, &self.rows, &vec![0; rows])?;
        ScalarValue::try_from_array(&G::evaluate(&group, &self.setup)?, 0)
    }

    fn size(&self) -> usize {
        self.rows.iter().map(|column| column.get_array_memory_size()).sum()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        datafusion::common::internal_err!("a window has no partial state")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        datafusion::common::internal_err!("a window has no partial state")
    }
}

/// The distinct rows of a group, given to the aggregate when its value is asked for.
#[derive(Debug)]
struct Distinct<G> {
    /// The arguments of each row, as bytes that are the same where they are equal.
    seen: IndexSet<Box<[u8]>>,
    /// The whole rows, as bytes.
    rows: Vec<Box<[u8]>>,
    /// Whether what WITHIN GROUP orders by is among the columns of `rows`.
    with_order: bool,
    group: PhantomData<fn() -> G>,
}

impl<G> Default for Distinct<G> {
    fn default() -> Self {
        Self { seen: IndexSet::new(), rows: Vec::new(), with_order: false, group: PhantomData }
    }
}

/// A converter of columns of these types to bytes and back.
pub(super) fn converter<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<RowConverter> {
    Ok(RowConverter::new(types.into_iter().map(|kind| SortField::new(kind.clone())).collect())?)
}

impl<G> Distinct<G> {
    fn insert(&mut self, seen: &[u8], row: &[u8]) {
        if self.seen.insert(seen.into()) {
            self.rows.push(row.into());
        }
    }
}

/// Appends bytes with their length before them.
pub(super) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Takes what [`put`] appended off the front.
pub(super) fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let taken = rest.get(..length)?;
    *bytes = &rest[length..];
    Some(taken)
}

impl<G: Group> Group for Distinct<G> {
    fn update(groups: &mut [Self], setup: &Setup, columns: &[ArrayRef], at: &[usize]) -> Result<()> {
        let arguments = &columns[..setup.types.len().min(columns.len())];
        let seen = equal_rows(arguments)?;
        let rows = converter(columns.iter().map(|column| column.data_type()))?.convert_columns(columns)?;
        for (row, group) in at.iter().enumerate() {
            groups[*group].with_order = columns.len() > arguments.len();
            groups[*group].insert(seen.row(row).data(), rows.row(row).data());
        }
        Ok(())
    }

    fn evaluate(groups: &[Self], setup: &Setup) -> Result<ArrayRef> {
        let with_order = converter(setup.types.iter().chain(&setup.order_types))?;
        let without = converter(&setup.types)?;
        let mut inner: Vec<G> = Vec::with_capacity(groups.len());
        inner.resize_with(groups.len(), G::default);
        for (position, group) in groups.iter().enumerate() {
            let converter = if group.with_order { &with_order } else { &without };
            let parser = converter.parser();
            let columns = converter.convert_rows(group.rows.iter().map(|row| parser.parse(row)))?;
            G::update(&mut inner, setup, &columns, &vec![position; group.rows.len()])?;
        }
        G::evaluate(&inner, setup)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.with_order));
        for (seen, row) in self.seen.iter().zip(&self.rows) {
            put(out, seen);
            put(out, row);
        }
    }

    fn absorb(&mut self, _: &Setup, bytes: &[u8]) -> Result<()> {
        let Some((with_order, mut bytes)) = bytes.split_first() else { return Ok(()) };
        self.with_order |= *with_order != 0;
        while let (Some(seen), Some(row)) = (take(&mut bytes), take(&mut bytes)) {
            self.insert(seen, row);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.rows.iter().map(|row| row.len() * 2 + 48).sum()
    }
}
