// Package lines reads the input of an import: a file, as it is or compressed by gzip, that is hashed first and then read line by line, in constant
// memory whatever its size. The hash is what the ids of imported events are derived from, so that a second import of the same bytes is recognisable. What a line means is not known here.
package lines

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Stdin is the path that stands for the standard input.
const Stdin = "-"

// File is an input that stays the same between its two readings: a file on disk up to the size that it had when it was opened, or a spooled copy of
// what cannot be read twice or is compressed. It is used from one goroutine.
type File struct {
	file  *os.File
	spool string
	name  string
	size  int64
	hash  [sha256.Size]byte
}

// Open hashes the file at path. The path Stdin means the given reader; it, what is no regular file (a pipe), and what gzip has packed, is first copied
// or unpacked to a temporary file, which Close removes. A log and its packed copy have the same lines, hash and ids.
func Open(ctx context.Context, path string, stdin io.Reader) (*File, error) {
	if path == Stdin {
		if stdin == nil {
			return nil, errors.New("read standard input: there is none")
		}
		return spool(ctx, stdin, "stdin")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open input: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a directory", path)
	case !info.Mode().IsRegular():
		defer f.Close()
		return spool(ctx, f, filepath.Base(path))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open input: %w", err)
	}
	if isGzip(io.NewSectionReader(f, 0, info.Size())) {
		defer f.Close()
		return spool(ctx, f, filepath.Base(path))
	}
	// A log that grows meanwhile is read up to here both times.
	in := &File{file: f, name: filepath.Base(path), size: info.Size()}
	if _, err := in.digest(ctx, io.Discard, io.NewSectionReader(f, 0, in.size)); err != nil {
		f.Close()
		return nil, fmt.Errorf("hash %s: %w", path, err)
	}
	return in, nil
}

// Name is the input's base name; "stdin" for the standard input.
func (f *File) Name() string { return f.name }

// Size is the input's length in bytes.
func (f *File) Size() int64 { return f.size }

// Hash is the SHA-256 of the content.
func (f *File) Hash() [sha256.Size]byte { return f.hash }

// Close closes the file and removes the spooled copy, if there is one.
func (f *File) Close() error {
	err := f.file.Close()
	if f.spool != "" {
		err = errors.Join(err, os.Remove(f.spool))
	}
	return err
}

// isGzip looks for the two bytes that packed data begins with; no text does.
func isGzip(r io.Reader) bool {
	var magic [2]byte
	_, err := io.ReadFull(r, magic[:])
	return err == nil && magic == [2]byte{0x1f, 0x8b}
}

func spool(ctx context.Context, from io.Reader, name string) (*File, error) {
	buffered := bufio.NewReader(from)
	from = buffered
	if start, _ := buffered.Peek(2); isGzip(bytes.NewReader(start)) {
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", name, err)
		}
		from = unpacked
	}
	f, err := os.CreateTemp("", "audittrail-import-*")
	if err != nil {
		return nil, fmt.Errorf("spool %s: %w", name, err)
	}
	in := &File{file: f, spool: f.Name(), name: name}
	if in.size, err = in.digest(ctx, f, from); err != nil {
		return nil, errors.Join(fmt.Errorf("copy %s to %s: %w", name, in.spool, err), in.Close())
	}
	return in, nil
}

// digest copies from one to the other, and sets the hash of what passed.
func (f *File) digest(ctx context.Context, to io.Writer, from io.Reader) (int64, error) {
	h := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(h, to), cancellable{ctx, from}, make([]byte, 256<<10))
	h.Sum(f.hash[:0])
	return n, err
}

// cancellable ends a long copy when ctx is done.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancellable) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
