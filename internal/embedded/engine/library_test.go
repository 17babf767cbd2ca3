package engine

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindLibrary(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("AUDITTRAIL_CACHE", cache)
	dir := filepath.Join(cache, "audittrail", "libchdb", LibraryVersion)
	path := filepath.Join(dir, "libchdb.so")
	missing := func(explicit, what string) {
		t.Helper()
		if got, err := FindLibrary(explicit); !errors.Is(err, ErrNoLibrary) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	missing("", "no folder")
	missing(filepath.Join(cache, "nothing"), "explicit path that is not there")
	missing(cache, "a folder")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(path, "library")
	missing("", "no stamp")
	write(filepath.Join(dir, "stamp"), "8 abc\n")
	missing("", "another size")
	write(filepath.Join(dir, "stamp"), "7 abc\n")
	if got, err := FindLibrary(""); err != nil || got != path {
		t.Errorf("%q, %v", got, err)
	}
	other := filepath.Join(cache, "other.so")
	write(other, "library")
	if got, err := FindLibrary(other); err != nil || got != other {
		t.Errorf("%q, %v", got, err)
	}
}

// TestLockedPackage: the package to fetch is of the version that is looked for, with its hash, and from wherever the user's npm client is told.
func TestLockedPackage(t *testing.T) {
	b, err := os.ReadFile("../libchdb/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "resolved") || strings.Contains(string(b), "://") {
		t.Error("the lock file names a registry")
	}
	var lock struct {
		Packages map[string]struct{ Version, Integrity string }
	}
	if err := json.Unmarshal(b, &lock); err != nil {
		t.Fatal(err)
	}
	p := lock.Packages["node_modules/@chdb/lib-linux-x64-gnu"]
	if p.Version != LibraryVersion || !strings.HasPrefix(p.Integrity, "sha512-") {
		t.Errorf("%+v", p)
	}
}

// TestFetchPutsWhereFindLooks: the script and this package agree on folder, version and stamp.
func TestFetchPutsWhereFindLooks(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("AUDITTRAIL_CACHE", cache)
	dir := filepath.Join(cache, "audittrail", "libchdb", LibraryVersion)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"libchdb.so": "library", "stamp": "7 abc\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("sh", "../libchdb/fetch.sh").Output()
	if err != nil {
		t.Fatal(err)
	}
	if path, err := FindLibrary(""); err != nil || string(out) != path+"\n" {
		t.Errorf("fetched %q, found %q, %v", out, path, err)
	}
}
