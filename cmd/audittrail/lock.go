package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/audittrail/audittrail/internal/embedded/folder"
)

// lockWait is how long to wait for a predecessor in the same folder that is still stopping.
const lockWait = 5 * time.Second

// lockData makes the data folder and takes it for this process, as long as the file is open. The broker and the engine lock theirs as well; this one is
// taken first, so that a second process ends with one clear line before it has begun anything.
func lockData(e *env, data string) (*os.File, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w (choose another one with --data or AUDITTRAIL_DATA)", err)
	}
	lock, err := folder.Lock(data, 0)
	if errors.Is(err, folder.ErrLocked) {
		e.log.Info("waiting for another process to leave the data folder", "folder", data, "at_most", lockWait)
		lock, err = folder.Lock(data, lockWait)
	}
	if errors.Is(err, folder.ErrLocked) {
		who := "another audittrail process"
		if at, rerr := readEndpoints(data); rerr == nil {
			who += " (its API is on " + at.API + ")"
		}
		return nil, fmt.Errorf("the data folder %s is in use by %s: stop that one, or choose another folder with --data or AUDITTRAIL_DATA", data, who)
	}
	return lock, err
}
