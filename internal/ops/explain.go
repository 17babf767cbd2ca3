package ops

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// Explain says in few words what is wrong on the way to a server: where it was looked for and why that failed, without the layers that the error came
// through. Any other error keeps its text.
func Explain(err error) string {
	var (
		dns   *net.DNSError
		op    *net.OpError
		errno syscall.Errno
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return dns.Name + ": no such host"
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &op) && op.Op == "dial" && op.Addr != nil && errors.As(op, &errno):
		return op.Addr.String() + ": " + errno.Error()
	default:
		return err.Error()
	}
}
