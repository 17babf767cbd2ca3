//go:build failpoints

package consumer

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	gofail "go.etcd.io/gofail/runtime"
)

var (
	failpointsMu sync.Mutex
	failpoints   = make(map[string]*gofail.Failpoint)
)

var errInjected = errors.New("injected fault")

// failpoint evaluates the terms that GOFAIL_FAILPOINTS gives for the name: return("kill") ends the process as kill -9 does, return("error") is an error of
// the step. What fires is said on standard error.
func failpoint(name string) error {
	v, err := evaluate(name)
	if err != nil {
		return nil
	}
	fmt.Fprintf(os.Stderr, "failpoint fired: %s\n", name)
	if v == "kill" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	}
	return fmt.Errorf("%s: %w", name, errInjected)
}

func mutated(name string) bool {
	_, err := evaluate("mutate-" + name)
	return err == nil
}

func evaluate(name string) (any, error) {
	failpointsMu.Lock()
	fp := failpoints[name]
	if fp == nil {
		fp = gofail.NewFailpoint(name)
		failpoints[name] = fp
	}
	failpointsMu.Unlock()
	return fp.Acquire()
}
