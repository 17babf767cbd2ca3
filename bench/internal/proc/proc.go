// Package proc reads what the processes of a benchmark use, from the kernel's own accounts. It knows nothing of what they do.
package proc

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Until asks cond every 20 ms until it holds. The error is ctx's.
func Until(ctx context.Context, cond func() bool) error {
	for !cond() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Child returns the pid of the process's first child, 0 if it has none.
func Child(pid int) int {
	// Any thread may have started the child.
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		b, _ := os.ReadFile(t)
		if fields := strings.Fields(string(b)); len(fields) > 0 {
			child, _ := strconv.Atoi(fields[0])
			return child
		}
	}
	return 0
}

// CPU is the user and system time that a process has used, in the kernel's ticks of 10 ms; 0 if it is gone.
func CPU(pid int) time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

var (
	peak     = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	resident = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)
)

// PeakMiB is the most resident memory that a process ever had, 0 if it is gone.
func PeakMiB(pid int) int { return statusMiB(pid, peak) }

// ResidentMiB is the resident memory that a process has now, 0 if it is gone.
func ResidentMiB(pid int) int { return statusMiB(pid, resident) }

func statusMiB(pid int, line *regexp.Regexp) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	m := line.FindSubmatch(b)
	if m == nil {
		return 0
	}
	kib, _ := strconv.Atoi(string(m[1]))
	return kib / 1024
}

// FolderBytes is the size of all files below a folder.
func FolderBytes(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}
