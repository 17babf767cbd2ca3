package engine

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is the part of libchdb's C interface that is used here, by the names of its header. Strings are pointer and length; a connection handle is a
// pointer to the value that the other functions take.
type library struct {
	setSignalHandlers func(enabled int32)
	connect           func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn         func(handle unsafe.Pointer)
	shutdown          func() int32

	query        func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
	destroyQuery func(result unsafe.Pointer)
	classify     func(conn, sql unsafe.Pointer, sqlLen uintptr, database unsafe.Pointer, databaseLen uintptr, out unsafe.Pointer) int32

	insert        func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
	insertAppend  func(stream, data unsafe.Pointer, n uintptr) int32
	insertDone    func(stream unsafe.Pointer) unsafe.Pointer
	insertCancel  func(stream unsafe.Pointer)
	insertError   func(stream unsafe.Pointer) string
	destroyInsert func(stream unsafe.Pointer)

	resultBuffer       func(result unsafe.Pointer) unsafe.Pointer
	resultLength       func(result unsafe.Pointer) uintptr
	resultError        func(result unsafe.Pointer) string
	resultRowsRead     func(result unsafe.Pointer) uint64
	resultBytesRead    func(result unsafe.Pointer) uint64
	storageRowsRead    func(result unsafe.Pointer) uint64
	storageBytesRead   func(result unsafe.Pointer) uint64
	resultRowsWritten  func(result unsafe.Pointer) uint64
	resultBytesWritten func(result unsafe.Pointer) uint64
}

// loadLibrary opens the shared library at path and resolves every function that is used, so that a wrong file is an error here and not a crash later.
func loadLibrary(path string) (*library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load the ClickHouse library %s: %w", path, err)
	}
	l := &library{}
	for name, fn := range map[string]any{
		"chdb_set_signal_handlers_enabled": &l.setSignalHandlers,
		"chdb_connect":                     &l.connect,
		"chdb_close_conn":                  &l.closeConn,
		"chdb_shutdown":                    &l.shutdown,
		"chdb_query_with_params_n":         &l.query,
		"chdb_destroy_query_result":        &l.destroyQuery,
		"chdb_classify_query_n":            &l.classify,
		"chdb_stream_insert_with_params_n": &l.insert,
		"chdb_stream_append":               &l.insertAppend,
		"chdb_stream_done":                 &l.insertDone,
		"chdb_stream_cancel_insert":        &l.insertCancel,
		"chdb_stream_insert_error":         &l.insertError,
		"chdb_destroy_insert_stream":       &l.destroyInsert,
		"chdb_result_buffer":               &l.resultBuffer,
		"chdb_result_length":               &l.resultLength,
		"chdb_result_error":                &l.resultError,
		"chdb_result_rows_read":            &l.resultRowsRead,
		"chdb_result_bytes_read":           &l.resultBytesRead,
		"chdb_result_storage_rows_read":    &l.storageRowsRead,
		"chdb_result_storage_bytes_read":   &l.storageBytesRead,
		"chdb_result_rows_written":         &l.resultRowsWritten,
		"chdb_result_bytes_written":        &l.resultBytesWritten,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("the ClickHouse library %s lacks %s: %w", path, name, err)
		}
		purego.RegisterFunc(fn, symbol)
	}
	return l, nil
}

// open makes a connection. args are argv style without the program name; the first connection of the process boots the engine with them. libchdb gives no
// reason for a failure, it only writes one to standard error.
func (l *library) open(args ...string) (unsafe.Pointer, error) {
	args = append([]string{"clickhouse"}, args...)
	argv := make([]unsafe.Pointer, len(args)+1)
	for i, a := range args {
		argv[i] = unsafe.Pointer(unsafe.StringData(a + "\x00"))
	}
	handle := l.connect(int32(len(args)), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if handle == nil {
		return nil, fmt.Errorf("libchdb refused the connection %q", args[1:])
	}
	return handle, nil
}

// connectionOf is what all functions but closeConn take: chdb_connect returns a pointer to it.
func connectionOf(handle unsafe.Pointer) unsafe.Pointer { return *(*unsafe.Pointer)(handle) }

// Classes of a statement, from chdb_classify_query_n.
const (
	classReadOnly = 0
	classUnknown  = 4
)

// classification is chdb_query_analysis_v1.
type classification struct {
	structSize uint32
	Statements uint32
	flags      uint32
	Class      uint32
}

// classifyQuery parses sql with the engine's own parser and executes nothing.
func (l *library) classifyQuery(conn unsafe.Pointer, sql string) classification {
	out := classification{structSize: uint32(unsafe.Sizeof(classification{}))}
	if l.classify(conn, stringPointer(sql), uintptr(len(sql)), nil, 0, unsafe.Pointer(&out)) != 0 {
		out.Class, out.Statements = classUnknown, 0
	}
	runtime.KeepAlive(sql)
	return out
}

// stringPointer is never nil: libchdb takes a NULL query for an internal error.
func stringPointer(s string) unsafe.Pointer {
	if s == "" {
		return unsafe.Pointer(unsafe.StringData("\x00"))
	}
	return unsafe.Pointer(unsafe.StringData(s))
}

// parameterArrays are the four C arrays that bind {name:Type} parameters.
type parameterArrays struct {
	names, values         []unsafe.Pointer
	nameSizes, valueSizes []uintptr
}

func newParameterArrays(params []pair) *parameterArrays {
	a := &parameterArrays{}
	for _, p := range params {
		a.names, a.nameSizes = append(a.names, stringPointer(p.name)), append(a.nameSizes, uintptr(len(p.name)))
		a.values, a.valueSizes = append(a.values, stringPointer(p.value)), append(a.valueSizes, uintptr(len(p.value)))
	}
	return a
}

func slicePointer[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }
