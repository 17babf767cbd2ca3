package ops

import (
	"fmt"
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes lines of the given format ("text" or "json") from the given level on ("debug", "info", "warn", "error").
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var min slog.Level
	if err := min.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q is none of debug, info, warn, error", level)
	}
	opt := &slog.HandlerOptions{Level: min}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opt)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opt)), nil
	default:
		return nil, fmt.Errorf("log format %q is neither text nor json", format)
	}
}
