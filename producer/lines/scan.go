package lines

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Line is one line of the input.
type Line struct {
	// Number counts from 1.
	Number uint64
	// Text is the line without its end (LF or CRLF). It is valid until the next line is read.
	Text []byte
	// End is where the next line starts, in bytes from the start of the input.
	End int64
	// TooLong says that Text holds only the first bytes, as many as the limit.
	TooLong bool
}

// All yields the lines from the start; of a line of more than limit bytes it yields the first ones, and goes on after its end. An error ends it.
func (f *File) All(limit int) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		s := scanner{r: bufio.NewReaderSize(io.NewSectionReader(f.file, 0, f.size), 64<<10), limit: limit}
		for {
			line, err := s.next()
			switch {
			case err == io.EOF && line.End < f.size:
				err = fmt.Errorf("read %s: it was cut to %d of %d bytes meanwhile", f.name, line.End, f.size)
			case err == io.EOF:
				return
			case err != nil:
				err = fmt.Errorf("read %s after line %d: %w", f.name, line.Number, err)
			}
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

type scanner struct {
	r     *bufio.Reader
	limit int
	line  Line
	buf   []byte
}

// next returns the next line, or the last one's number and end with an error.
func (s *scanner) next() (Line, error) {
	s.buf = s.buf[:0]
	long, length := false, 0
	for {
		part, err := s.r.ReadSlice('\n')
		length += len(part)
		// Two bytes more than the limit, for the line's end.
		if room := s.limit + 2 - len(s.buf); len(part) > room {
			part, long = part[:room], true
		}
		s.buf = append(s.buf, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && length == 0, err != nil && err != io.EOF:
			return s.line, err
		}
		break
	}
	text := s.buf
	if !long {
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	}
	if len(text) > s.limit {
		text, long = text[:s.limit], true
	}
	s.line = Line{Number: s.line.Number + 1, Text: text, End: s.line.End + int64(length), TooLong: long}
	return s.line, nil
}
