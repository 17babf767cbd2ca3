package engine

import (
	"regexp"
	"runtime"
	"strings"
	"unsafe"
)

// pair is a setting or a query parameter.
type pair struct{ name, value string }

// session is one connection to the engine, made for one request and closed after it (75 µs), so that no setting, database or temporary table of one request
// reaches the next. It runs one statement at a time.
type session struct {
	lib    *library
	handle unsafe.Pointer
}

// result is what the engine says about a finished statement.
type result struct {
	Body                      []byte
	ReadRows, ReadBytes       uint64 // from storage
	ResultRows, ResultBytes   uint64
	WrittenRows, WrittenBytes uint64 // with materialized views
}

func (s *session) close() { s.lib.closeConn(s.handle) }

// query runs one statement to its end and returns all its output.
func (s *session) query(sql, format string, params []pair) (result, error) {
	p := newParameterArrays(params)
	r := s.lib.query(connectionOf(s.handle), stringPointer(sql), uintptr(len(sql)), stringPointer(format), uintptr(len(format)),
		slicePointer(p.names), slicePointer(p.nameSizes), slicePointer(p.values), slicePointer(p.valueSizes), uintptr(len(p.names)))
	runtime.KeepAlive(sql)
	runtime.KeepAlive(format)
	runtime.KeepAlive(params)
	return s.lib.take(r)
}

// take copies a result out of the engine's memory and frees it.
func (l *library) take(r unsafe.Pointer) (result, error) {
	if r == nil {
		return result{}, newException(codeUnknownException, "the engine returned no result")
	}
	defer l.destroyQuery(r)
	if text := l.resultError(r); text != "" {
		return result{}, parseException(text)
	}
	out := result{
		ReadRows: l.storageRowsRead(r), ReadBytes: l.storageBytesRead(r), ResultRows: l.resultRowsRead(r), ResultBytes: l.resultBytesRead(r),
		WrittenRows: l.resultRowsWritten(r), WrittenBytes: l.resultBytesWritten(r),
	}
	if n, buffer := l.resultLength(r), l.resultBuffer(r); n > 0 && buffer != nil {
		out.Body = append([]byte(nil), unsafe.Slice((*byte)(buffer), n)...)
	}
	return out, nil
}

var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// set applies settings for the rest of the session. One that the engine does not know, or a value that it does not take, is its error.
func (s *session) set(settings []pair) error {
	var b strings.Builder
	for i, p := range settings {
		if !settingName.MatchString(p.name) {
			return newException(codeUnknownSetting, "Unknown setting '%s'", p.name)
		}
		if i == 0 {
			b.WriteString("SET ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(p.name + " = " + quoteString(p.value))
	}
	if b.Len() == 0 {
		return nil
	}
	_, err := s.query(b.String(), "Null", nil)
	return err
}

// use selects the database for unqualified names.
func (s *session) use(database string) error {
	_, err := s.query("USE "+quoteName(database), "Null", nil)
	return err
}

func quoteString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func quoteName(s string) string {
	return "`" + strings.NewReplacer("\\", `\\`, "`", "\\`").Replace(s) + "`"
}

// insertStream feeds the data of one INSERT. Exactly one of commit and cancel ends it.
type insertStream struct {
	lib    *library
	stream unsafe.Pointer
}

// insert begins an INSERT: head is the statement without FORMAT and data.
func (s *session) insert(head, format string, params []pair) (*insertStream, error) {
	p := newParameterArrays(params)
	stream := s.lib.insert(connectionOf(s.handle), stringPointer(head), uintptr(len(head)), stringPointer(format), uintptr(len(format)),
		slicePointer(p.names), slicePointer(p.nameSizes), slicePointer(p.values), slicePointer(p.valueSizes), uintptr(len(p.names)))
	runtime.KeepAlive(head)
	runtime.KeepAlive(format)
	runtime.KeepAlive(params)
	in := &insertStream{lib: s.lib, stream: stream}
	if err := in.failure(); err != nil {
		s.lib.destroyInsert(stream)
		return nil, err
	}
	return in, nil
}

func (in *insertStream) failure() error {
	if text := in.lib.insertError(in.stream); text != "" {
		return parseException(text)
	}
	return nil
}

// append hands over more of the data, wherever it is cut; it waits when the engine is behind. After an error only cancel is left.
func (in *insertStream) append(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	failed := in.lib.insertAppend(in.stream, slicePointer(data), uintptr(len(data))) != 0
	runtime.KeepAlive(data)
	if !failed {
		return nil
	}
	if err := in.failure(); err != nil {
		return err
	}
	return newException(codeUnknownException, "the engine refused the data of an INSERT")
}

// commit ends the data and waits until the rows are stored.
func (in *insertStream) commit() (result, error) {
	defer in.lib.destroyInsert(in.stream)
	return in.lib.take(in.lib.insertDone(in.stream))
}

// cancel gives up the INSERT: what is not yet a part of the table never becomes one.
func (in *insertStream) cancel() {
	in.lib.insertCancel(in.stream)
	in.lib.destroyInsert(in.stream)
}
