package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// listenerFD is where a Supervisor puts the listener in its child: the first file after standard error.
const listenerFD = 3

const childLockWait = 5 * time.Second

// RunChild is the whole work of a process that a Supervisor started: it serves the inherited listener until ctx ends (the command should end it on SIGTERM
// and SIGINT). Standard input is the life line: when its other end closes, the parent is dead, and the process exits at once, as if killed, which the
// tables on disk survive; nobody would be left to stop it.
//
// The default of LockWait is childLockWait here: the child of a parent that was killed may still be on its way out.
func RunChild(ctx context.Context, o Options) error {
	if o.LockWait == 0 {
		o.LockWait = childLockWait
	}
	srv, err := New(o)
	if err != nil {
		return err
	}
	ln, err := inheritedListener()
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		if ctx.Err() == nil {
			srv.log.Error("the parent process has gone: exiting")
			os.Exit(1)
		}
	}()
	return srv.Serve(ctx, ln)
}

func inheritedListener() (net.Listener, error) {
	f := os.NewFile(listenerFD, "listener")
	if f == nil {
		return nil, errors.New("this process was not started by a supervisor: it has no listener")
	}
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("this process was not started by a supervisor: %w", err)
	}
	return ln, nil
}
