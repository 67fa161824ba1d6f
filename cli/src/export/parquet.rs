//! Apache Parquet, with typed columns (parquet.apache.org/docs/file-format).

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use parquet::{
    basic::Compression,
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::parser::parse_message_type,
};

use crate::record::{COLUMNS, Record};

/// How many rows are in memory: a group of columns is written when it is full.
const GROUP: usize = 10_000;

/// The columns' types, by the names of [`COLUMNS`].
const SCHEMA: &str = "message runs {
    required binary run (UTF8);
    required binary role (UTF8);
    required binary job (UTF8);
    required binary node (UTF8);
    optional binary owner (UTF8);
    required int64 scheduled_at (TIMESTAMP(MICROS,true));
    optional int64 started_at (TIMESTAMP(MICROS,true));
    optional int64 ended_at (TIMESTAMP(MICROS,true));
    required binary phase (UTF8);
    optional binary reason (UTF8);
    optional int32 exit_code;
    optional double duration_s;
    optional double start_skew_ms;
    optional binary image (UTF8);
    optional binary image_digest (UTF8);
    optional binary commit (UTF8);
    required boolean kept;
    optional binary message (UTF8);
    required binary files (UTF8);
    required binary sizes (UTF8);
}";

/// A table that is being written.
pub struct Parquet<'a> {
    out: &'a mut dyn Write,
    writer: SerializedFileWriter<Shared>,
    written: Shared,
    rows: Vec<Record>,
}

/// What the writer has written and is not passed on yet: it wants something of its own that can go to other threads.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Parquet<'a> {
    /// Begins a table.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn new(out: &'a mut dyn Write) -> io::Result<Self> {
        let written = Shared::default();
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let schema = Arc::new(parse_message_type(SCHEMA).map_err(failed)?);
        let writer =
            SerializedFileWriter::new(written.clone(), schema, Arc::new(properties)).map_err(failed)?;
        Ok(Self { out, writer, written, rows: Vec::new() })
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn add(&mut self, row: Record) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() < GROUP { Ok(()) } else { self.group() }
    }

    /// Ends the table.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn end(mut self) -> io::Result<()> {
        if !self.rows.is_empty() {
            self.group()?;
        }
        self.writer.finish().map_err(failed)?;
        self.pass_on()
    }

    /// Writes the rows that are in memory.
    fn group(&mut self) -> io::Result<()> {
        let rows = mem::take(&mut self.rows);
        {
            let mut group = Group(self.writer.next_row_group().map_err(failed)?);
            group.all(&rows).map_err(failed)?;
            group.0.close().map_err(failed)?;
        }
        self.pass_on()
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let written = mem::take(&mut *self.written.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.out.write_all(&written)?;
        self.out.flush()
    }
}

/// Columns of some rows, one after the other as the schema has them.
struct Group<'a>(SerializedRowGroupWriter<'a, Shared>);

impl Group<'_> {
    fn all(&mut self, rows: &[Record]) -> Result<(), ParquetError> {
        self.texts(rows, |row| row.run.to_string())?;
        self.texts(rows, |row| row.role.to_string())?;
        self.texts(rows, |row| row.job.clone())?;
        self.texts(rows, |row| row.node.clone())?;
        self.maybe_texts(rows, |row| row.owner.clone())?;
        self.all_of::<Int64Type>(rows, |row| row.scheduled_at.0.timestamp_micros())?;
        self.some_of::<Int64Type>(rows, |row| row.started_at.map(|at| at.0.timestamp_micros()))?;
        self.some_of::<Int64Type>(rows, |row| row.ended_at.map(|at| at.0.timestamp_micros()))?;
        self.texts(rows, |row| row.phase.clone())?;
        self.maybe_texts(rows, |row| row.reason.clone())?;
        self.some_of::<Int32Type>(rows, |row| row.exit_code)?;
        self.some_of::<DoubleType>(rows, |row| row.duration_s)?;
        self.some_of::<DoubleType>(rows, |row| row.start_skew_ms)?;
        self.maybe_texts(rows, |row| row.image.clone())?;
        self.maybe_texts(rows, |row| row.image_digest.clone())?;
        self.maybe_texts(rows, |row| row.commit.clone())?;
        self.all_of::<BoolType>(rows, |row| row.kept)?;
        self.maybe_texts(rows, |row| row.message.clone())?;
        self.texts(rows, Record::paths)?;
        self.texts(rows, Record::sizes)
    }

    fn texts(&mut self, rows: &[Record], text: impl Fn(&Record) -> String) -> Result<(), ParquetError> {
        self.all_of::<ByteArrayType>(rows, |row| ByteArray::from(text(row).into_bytes()))
    }

    fn maybe_texts(
        &mut self,
        rows: &[Record],
        text: impl Fn(&Record) -> Option<String>,
    ) -> Result<(), ParquetError> {
        self.some_of::<ByteArrayType>(rows, |row| Some(ByteArray::from(text(row)?.into_bytes())))
    }

    fn all_of<T: DataType>(
        &mut self,
        rows: &[Record],
        value: impl Fn(&Record) -> T::T,
    ) -> Result<(), ParquetError> {
        let values: Vec<T::T> = rows.iter().map(value).collect();
        self.column::<T>(&values, None)
    }

    /// Where there is no value, the level of its definition is 0.
    fn some_of<T: DataType>(
        &mut self,
        rows: &[Record],
        value: impl Fn(&Record) -> Option<T::T>,
    ) -> Result<(), ParquetError> {
        let values: Vec<Option<T::T>> = rows.iter().map(value).collect();
        let levels: Vec<i16> = values.iter().map(|value| value.is_some().into()).collect();
        let values: Vec<T::T> = values.into_iter().flatten().collect();
        self.column::<T>(&values, Some(&levels))
    }

    fn column<T: DataType>(&mut self, values: &[T::T], levels: Option<&[i16]>) -> Result<(), ParquetError> {
        let more = || ParquetError::General(format!("there are more than {} columns", COLUMNS.len()));
        let mut column = self.0.next_column()?.ok_or_else(more)?;
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()
    }
}

fn failed(error: ParquetError) -> io::Error {
    io::Error::other(error)
}
