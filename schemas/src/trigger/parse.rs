//! From text to a condition. The parser is that of the `cel` crate, which says nothing of names and types: here each name
//! is looked up and each type is checked, and what could run for long, or reach anything else, is refused.

use std::{ops::Range, thread};

use cel::{
    common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators},
    parser::Parser,
};

use super::{
    Condition, Field, FieldType, Over, Problem, Provider,
    condition::{Comparison, Measured, Number, Operation, Text, Truth},
    field::{KNOWN, Known},
    samples::KEPT,
};

/// The longest text, in bytes: what people can still read.
const LONGEST: usize = 1024;

/// How deep it may be nested in brackets and branches. The parser takes a dozen calls for each level, and looks at its own
/// limit only after that.
const NESTED: usize = 16;

/// What the parser may take of the stack: of an unoptimised build, four times what it was seen to need for the deepest text.
const STACK: usize = 16 << 20;

/// How many operations may be in one another, which is how long a sum may be.
const DEEPEST: u16 = 64;

/// The functions that there are.
const FUNCTIONS: [&str; 5] = ["abs", "avg", "max", "min", "prev"];

/// Something of a known type.
enum Typed {
    Truth(Truth),
    Number(Number),
    Text(Text),
}

impl Typed {
    const fn is(&self) -> FieldType {
        match self {
            Self::Truth(_) => FieldType::Truth,
            Self::Number(_) => FieldType::Number,
            Self::Text(_) => FieldType::Text,
        }
    }
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// What is wrong with it: the first thing.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let whole = 0..text.len();
        if text.trim().is_empty() {
            return Err(problem("a trigger is empty, and expected to be a condition", whole));
        }
        if text.len() > LONGEST {
            let message = format!("a trigger of {} bytes; expected {LONGEST} at most", text.len());
            return Err(problem(message, whole));
        }
        if let Some(at) = too_deep(text) {
            let message = format!(
                "this is nested too deep; expected {NESTED} brackets and branches in one another at most"
            );
            return Err(problem(message, at..at + 1));
        }
        // The parser is generated, and takes more of the stack for a few brackets than other threads have. Should it panic, the
        // text is at fault.
        let parsed = thread::scope(|scope| {
            let reading = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || read(text));
            reading.ok().and_then(|reading| reading.join().ok())
        });
        parsed.unwrap_or_else(|| Err(problem("this is not CEL", whole)))
    }
}

fn read(text: &str) -> Result<Condition, Problem> {
    let parsed = Parser::new().max_recursion_depth(DEEPEST).parse_with_source_info(text);
    let (expression, source) = parsed.map_err(|errors| syntax(text, errors.errors.first()))?;
    match (Reading { text, source }).typed(&expression)? {
        Typed::Truth(truth) => Ok(Condition(truth)),
        other => Err(Problem {
            help: Some("compare it with something, as in `dish.pop_ping_latency_ms > 60`".to_owned()),
            ..problem(
                format!("a trigger is true or false, and this is {}", other.is().as_str()),
                0..text.len(),
            )
        }),
    }
}

/// Where it is nested too deep. What is in quotes counts as well: such a condition is none that anybody needs.
fn too_deep(text: &str) -> Option<usize> {
    let (mut brackets, mut branches) = (0_usize, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => brackets += 1,
            b')' | b']' | b'}' => brackets = brackets.saturating_sub(1),
            b'?' => branches += 1,
            _ => {}
        }
        if brackets + branches > NESTED {
            return Some(at);
        }
    }
    None
}

fn problem(message: impl Into<String>, at: Range<usize>) -> Problem {
    Problem { message: message.into(), help: None, at, known: Vec::new() }
}

/// What the parser does not understand.
fn syntax(text: &str, error: Option<&cel::ParseError>) -> Problem {
    let Some(error) = error else { return problem("this is not CEL", 0..text.len()) };
    let line = usize::try_from(error.pos.0 - 1).unwrap_or_default();
    let column = usize::try_from(error.pos.1 - 1).unwrap_or_default();
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let at =
        text[before.min(text.len())..].char_indices().nth(column).map_or(text.len(), |(at, _)| before + at);
    let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
    // What the parser expected is a list of all that there is.
    let message = match text[at..end].trim() {
        "" if text[at..].trim().is_empty() => "this is not CEL: it ends where more was expected".to_owned(),
        found => format!("this is not CEL: `{found}` was not expected here"),
    };
    problem(message, at..end)
}

struct Reading<'a> {
    text: &'a str,
    source: SourceInfo,
}

impl Reading<'_> {
    fn typed(&self, ided: &IdedExpr) -> Result<Typed, Problem> {
        match &ided.expr {
            Expr::Literal(literal) => self.literal(literal, ided),
            Expr::Select(select) => self.field(select, ided),
            Expr::Ident(name) => Err(self.name(name, ided)),
            Expr::Call(call) => self.call(call, ided),
            Expr::Comprehension(_) => Err(self.refused(ided, "loops, such as `all` and `map`,")),
            Expr::List(_) => Err(self.refused(ided, "lists")),
            Expr::Map(_) | Expr::Struct(_) => Err(self.refused(ided, "maps")),
            Expr::Unspecified => Err(problem("this is not CEL", self.at(ided))),
        }
    }

    fn literal(&self, literal: &LiteralValue, ided: &IdedExpr) -> Result<Typed, Problem> {
        Ok(match literal {
            LiteralValue::Boolean(truth) => Typed::Truth(Truth::Is(*truth.inner())),
            LiteralValue::Double(number) => Typed::Number(Number::Is(*number.inner())),
            #[expect(clippy::cast_precision_loss, reason = "what is measured is a float, too")]
            LiteralValue::Int(number) => Typed::Number(Number::Is(*number.inner() as f64)),
            #[expect(clippy::cast_precision_loss, reason = "what is measured is a float, too")]
            LiteralValue::UInt(number) => Typed::Number(Number::Is(*number.inner() as f64)),
            LiteralValue::String(text) => Typed::Text(Text::Is(text.inner().to_owned())),
            LiteralValue::Bytes(_) => return Err(self.refused(ided, "bytes")),
            LiteralValue::Null => {
                return Err(Problem {
                    help: Some(
                        "what was not measured is unknown, and a trigger that depends on it does not fire"
                            .to_owned(),
                    ),
                    ..self.refused(ided, "`null`")
                });
            }
        })
    }

    fn field(&self, select: &SelectExpr, ided: &IdedExpr) -> Result<Typed, Problem> {
        let (field, is) = self.measured(select, ided)?;
        let measured = Measured { field, ago: 0 };
        Ok(match is {
            FieldType::Truth => Typed::Truth(Truth::Field(measured)),
            FieldType::Number => Typed::Number(Number::Field(measured)),
            FieldType::Text => Typed::Text(Text::Field(measured)),
        })
    }

    /// A field that is named, with its type.
    fn measured(&self, select: &SelectExpr, ided: &IdedExpr) -> Result<(Field, FieldType), Problem> {
        if select.test {
            return Err(Problem {
                help: Some(
                    "what was not measured is unknown, and a trigger that depends on it does not fire"
                        .to_owned(),
                ),
                ..self.refused(ided, "`has`")
            });
        }
        let Expr::Ident(provider) = &select.operand.expr else {
            return Err(problem(
                "fields have no fields; expected a provider and a field, such as `dish.uptime_s`",
                self.at(ided),
            ));
        };
        let Some(provider) = Provider::ALL.into_iter().find(|known| known.as_str() == provider) else {
            return Err(self.name(provider, &select.operand));
        };
        let Some(is) = Known::find(provider, &select.field) else {
            let known: Vec<String> = KNOWN
                .iter()
                .filter(|known| known.provider == provider)
                .map(|known| known.name.to_owned())
                .collect();
            return Err(Problem {
                help: Some(format!("`{provider}` has {}", known.join(", "))),
                known,
                ..problem(format!("`{provider}` measures no `{}`", select.field), self.at(ided))
            });
        };
        Ok((Field { provider, name: select.field.clone() }, is))
    }

    /// A name that stands for nothing by itself.
    fn name(&self, name: &str, ided: &IdedExpr) -> Problem {
        let known: Vec<String> = Provider::ALL.map(|provider| provider.as_str().to_owned()).into();
        let help = format!("fields are those of {}, such as `dish.pop_ping_latency_ms`", known.join(", "));
        let message = match known.iter().any(|known| known == name) {
            true => format!("`{name}` is a provider; expected one of its fields"),
            false => format!("`{name}` is not known"),
        };
        Problem { help: Some(help), known, ..problem(message, self.at(ided)) }
    }

    fn call(&self, call: &CallExpr, ided: &IdedExpr) -> Result<Typed, Problem> {
        use operators::{
            ADD, CONDITIONAL, DIVIDE, EQUALS, GREATER, GREATER_EQUALS, LESS, LESS_EQUALS, LOGICAL_AND,
            LOGICAL_NOT, LOGICAL_OR, MULTIPLY, NEGATE, NOT_EQUALS, SUBSTRACT,
        };
        if let Some(target) = &call.target {
            let at = self.at(target).start..self.at(ided).end;
            return Err(problem(
                format!(
                    "`{}` is no function of a value; triggers have {}",
                    call.func_name,
                    FUNCTIONS.join(", ")
                ),
                at,
            ));
        }
        let (left, right) = (call.args.first(), call.args.get(1));
        let truth = |truth| Ok(Typed::Truth(truth));
        match (call.func_name.as_str(), left, right) {
            (LOGICAL_NOT, Some(one), None) => truth(Truth::Not(Box::new(self.truth(one)?))),
            (LOGICAL_AND, Some(_), Some(_)) => truth(self.all(&call.args, Truth::And)?),
            (LOGICAL_OR, Some(_), Some(_)) => truth(self.all(&call.args, Truth::Or)?),
            (EQUALS, Some(left), Some(right)) => truth(self.same(left, right)?),
            (NOT_EQUALS, Some(left), Some(right)) => truth(Truth::Not(Box::new(self.same(left, right)?))),
            (LESS, Some(left), Some(right)) => truth(self.compare(Comparison::Less, left, right)?),
            (LESS_EQUALS, Some(left), Some(right)) => {
                truth(self.compare(Comparison::LessOrEqual, left, right)?)
            }
            (GREATER, Some(left), Some(right)) => truth(self.compare(Comparison::Less, right, left)?),
            (GREATER_EQUALS, Some(left), Some(right)) => {
                truth(self.compare(Comparison::LessOrEqual, right, left)?)
            }
            (NEGATE, Some(one), None) => Ok(Typed::Number(Number::Negative(Box::new(self.number(one)?)))),
            (ADD, Some(left), Some(right)) => self.operation(Operation::Plus, left, right),
            (SUBSTRACT, Some(left), Some(right)) => self.operation(Operation::Minus, left, right),
            (MULTIPLY, Some(left), Some(right)) => self.operation(Operation::Times, left, right),
            (DIVIDE, Some(left), Some(right)) => self.operation(Operation::By, left, right),
            (CONDITIONAL, Some(condition), Some(then)) if call.args.len() == 3 => {
                self.conditional(condition, then, &call.args[2])
            }
            ("abs", Some(one), None) => Ok(Typed::Number(Number::Absolute(Box::new(self.number(one)?)))),
            ("abs", ..) => Err(problem("`abs` takes one number: `abs(X)`", self.at(ided))),
            ("prev", ..) => self.before(call, ided),
            ("avg", ..) => self.over(Over::Average, call, ided),
            ("min", ..) => self.over(Over::Least, call, ided),
            ("max", ..) => self.over(Over::Greatest, call, ided),
            (name, ..) => Err(self.unknown(name, ided)),
        }
    }

    fn unknown(&self, name: &str, ided: &IdedExpr) -> Problem {
        let shown =
            [("_%_", "%"), ("@in", "in"), ("_[_]", "[]")].into_iter().find(|(known, _)| *known == name);
        match shown {
            Some((_, sign)) => self.refused(ided, &format!("`{sign}`")),
            None => Problem {
                help: Some(format!("triggers have {}", FUNCTIONS.join(", "))),
                known: FUNCTIONS.map(str::to_owned).into(),
                ..problem(format!("there is no function `{name}`"), self.at(ided))
            },
        }
    }

    /// The parser may put more than two together.
    fn all(&self, args: &[IdedExpr], with: fn(Box<Truth>, Box<Truth>) -> Truth) -> Result<Truth, Problem> {
        let mut all = args.iter().map(|arg| self.truth(arg));
        let first = all.next().unwrap_or(Ok(Truth::Is(true)))?;
        all.try_fold(first, |before, next| Ok(with(Box::new(before), Box::new(next?))))
    }

    fn same(&self, left: &IdedExpr, right: &IdedExpr) -> Result<Truth, Problem> {
        Ok(match (self.typed(left)?, self.typed(right)?) {
            (Typed::Truth(left), Typed::Truth(right)) => Truth::Same(Box::new(left), Box::new(right)),
            (Typed::Number(left), Typed::Number(right)) => {
                Truth::Compare(Comparison::Equal, Box::new(left), Box::new(right))
            }
            (Typed::Text(left), Typed::Text(right)) => Truth::Texts(Box::new(left), Box::new(right)),
            (left_is, right_is) => {
                let (left_is, right_is) = (left_is.is().as_str(), right_is.is().as_str());
                let message = format!("{left_is} is compared with {right_is}; expected two of one type");
                return Err(problem(message, self.at(left).start..self.at(right).end));
            }
        })
    }

    fn compare(&self, comparison: Comparison, left: &IdedExpr, right: &IdedExpr) -> Result<Truth, Problem> {
        Ok(Truth::Compare(comparison, Box::new(self.number(left)?), Box::new(self.number(right)?)))
    }

    fn operation(&self, operation: Operation, left: &IdedExpr, right: &IdedExpr) -> Result<Typed, Problem> {
        let (left, right) = (Box::new(self.number(left)?), Box::new(self.number(right)?));
        Ok(Typed::Number(Number::Of(operation, left, right)))
    }

    fn conditional(&self, condition: &IdedExpr, then: &IdedExpr, or: &IdedExpr) -> Result<Typed, Problem> {
        let condition = Box::new(self.truth(condition)?);
        Ok(match (self.typed(then)?, self.typed(or)?) {
            (Typed::Truth(then), Typed::Truth(or)) => {
                Typed::Truth(Truth::If(condition, Box::new(then), Box::new(or)))
            }
            (Typed::Number(then), Typed::Number(or)) => {
                Typed::Number(Number::If(condition, Box::new(then), Box::new(or)))
            }
            (Typed::Text(then), Typed::Text(or)) => {
                Typed::Text(Text::If(condition, Box::new(then), Box::new(or)))
            }
            (then_is, or_is) => {
                let message = format!(
                    "one branch is {} and the other {}; expected two of one type",
                    then_is.is().as_str(),
                    or_is.is().as_str()
                );
                return Err(problem(message, self.at(then).start..self.at(or).end));
            }
        })
    }

    /// `prev(FIELD, N)`: the field as it was N samples ago; one where nothing is said.
    fn before(&self, call: &CallExpr, ided: &IdedExpr) -> Result<Typed, Problem> {
        let usage = "expected `prev(FIELD)` or `prev(FIELD, N)`, such as `prev(dish.pop_ping_latency_ms, 1)`";
        let (field, is) = self.argument(call, ided, usage)?;
        let ago = match call.args.get(1) {
            None => 1,
            Some(count) => self.count(count, KEPT - 1)?,
        };
        let measured = Measured { field, ago };
        Ok(match is {
            FieldType::Truth => Typed::Truth(Truth::Field(measured)),
            FieldType::Number => Typed::Number(Number::Field(measured)),
            FieldType::Text => Typed::Text(Text::Field(measured)),
        })
    }

    fn over(&self, over: Over, call: &CallExpr, ided: &IdedExpr) -> Result<Typed, Problem> {
        let name = &call.func_name;
        let usage = format!("expected `{name}(FIELD, N)`: over the latest N samples of a field");
        let (field, is) = self.argument(call, ided, &usage)?;
        let Some(count) = call.args.get(1) else { return Err(problem(usage, self.at(ided))) };
        if is != FieldType::Number {
            let message = format!("`{name}` is of a number, and `{field}` is {}", is.as_str());
            return Err(problem(message, self.at(&call.args[0])));
        }
        Ok(Typed::Number(Number::Over(over, field, self.count(count, KEPT)?)))
    }

    /// The field that a function is of.
    fn argument(&self, call: &CallExpr, ided: &IdedExpr, usage: &str) -> Result<(Field, FieldType), Problem> {
        match &call.args[..] {
            [IdedExpr { expr: Expr::Select(select), .. }]
            | [IdedExpr { expr: Expr::Select(select), .. }, _] => self.measured(select, &call.args[0]),
            _ => Err(problem(usage, self.at(ided))),
        }
    }

    /// How many samples.
    fn count(&self, ided: &IdedExpr, most: usize) -> Result<usize, Problem> {
        let count = match &ided.expr {
            Expr::Literal(LiteralValue::Int(count)) => usize::try_from(*count.inner()).ok(),
            _ => None,
        };
        count.filter(|count| (1..=most).contains(count)).ok_or_else(|| {
            problem(format!("expected a whole number of samples from 1 to {most}"), self.at(ided))
        })
    }

    fn truth(&self, ided: &IdedExpr) -> Result<Truth, Problem> {
        match self.typed(ided)? {
            Typed::Truth(truth) => Ok(truth),
            other => Err(self.other(ided, &other, FieldType::Truth)),
        }
    }

    fn number(&self, ided: &IdedExpr) -> Result<Number, Problem> {
        match self.typed(ided)? {
            Typed::Number(number) => Ok(number),
            other => Err(self.other(ided, &other, FieldType::Number)),
        }
    }

    fn other(&self, ided: &IdedExpr, found: &Typed, expected: FieldType) -> Problem {
        let at = self.at(ided);
        let text = self.text.get(at.clone()).unwrap_or_default();
        problem(format!("`{text}` is {}; expected {}", found.is().as_str(), expected.as_str()), at)
    }

    fn refused(&self, ided: &IdedExpr, what: &str) -> Problem {
        problem(format!("{what} cannot be used in a trigger"), self.at(ided))
    }

    /// Where something stands, with all that it is made of.
    fn at(&self, ided: &IdedExpr) -> Range<usize> {
        let at = self.bytes(ided).unwrap_or(0..self.text.len());
        // Of the last sign, the parser tells where it begins.
        let end = (at.end..=self.text.len()).find(|end| self.text.is_char_boundary(*end));
        at.start..end.unwrap_or(self.text.len())
    }

    fn bytes(&self, ided: &IdedExpr) -> Option<Range<usize>> {
        let own = self.source.offset_for(ided.id).map(|(start, stop)| start as usize..stop as usize + 1);
        let parts: Vec<&IdedExpr> = match &ided.expr {
            Expr::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).collect(),
            Expr::Select(select) => vec![&select.operand],
            _ => Vec::new(),
        };
        // Of a field, the parser tells where the dot is.
        let field = match &ided.expr {
            Expr::Select(select) => own.clone().map(|dot| dot.start..dot.end + select.field.len()),
            _ => None,
        };
        let all = parts.into_iter().filter_map(|part| self.bytes(part)).chain(own).chain(field);
        all.reduce(|all, part| all.start.min(part.start)..all.end.max(part.end))
    }
}
