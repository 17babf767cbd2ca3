package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// LibraryVersion is the version of the npm packages with libchdb that internal/embedded/libchdb fetches.
const LibraryVersion = "26.7.3-stable.1"

// ErrNoLibrary says that libchdb is not on this machine.
var ErrNoLibrary = errors.New("the ClickHouse library is not there: run `make build`, which fetches it, or give the path of a libchdb.so")

// FindLibrary returns the path of libchdb: explicit when that is given, else the one in the cache folder, where `make build` puts it
// ($AUDITTRAIL_CACHE/audittrail/libchdb/VERSION, with the user's cache folder in place of an empty AUDITTRAIL_CACHE). A library that is missing or not whole
// is one clear line (ErrNoLibrary).
func FindLibrary(explicit string) (string, error) {
	if explicit != "" {
		if info, err := os.Stat(explicit); err != nil || !info.Mode().IsRegular() {
			return "", fmt.Errorf("no file %s: %w", explicit, ErrNoLibrary)
		}
		return explicit, nil
	}
	dir, err := libraryDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "libchdb.so")
	info, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("no file %s: %w", path, ErrNoLibrary)
		}
		return "", fmt.Errorf("look for the ClickHouse library: %w", err)
	}
	// The stamp is written last, after npm has checked the package's hash: its size tells a whole file from one that was cut or replaced.
	stamp, err := os.ReadFile(filepath.Join(dir, "stamp"))
	if err != nil {
		return "", fmt.Errorf("%s has no stamp: %w", path, ErrNoLibrary)
	}
	size, _, _ := strings.Cut(string(stamp), " ")
	if size != strconv.FormatInt(info.Size(), 10) {
		return "", fmt.Errorf("%s is not whole (%d bytes, not %s): %w", path, info.Size(), size, ErrNoLibrary)
	}
	return path, nil
}

func libraryDir() (string, error) {
	cache := os.Getenv("AUDITTRAIL_CACHE")
	if cache == "" {
		var err error
		if cache, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("look for the ClickHouse library: %w", err)
		}
	}
	return filepath.Join(cache, "audittrail", "libchdb", LibraryVersion), nil
}
