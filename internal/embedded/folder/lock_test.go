package folder

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	dir := t.TempDir()
	lock, err := Lock(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(dir, 0); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder in use: %v", err)
	}
	// A predecessor that is about to end is waited for.
	time.AfterFunc(100*time.Millisecond, func() { lock.Close() })
	next, err := Lock(dir, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	next.Close()
	if _, err := Lock(dir+"/nothing", 0); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
