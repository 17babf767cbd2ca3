package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// before is where the files of each partition are kept, as hard links, while kfake compacts: it removes them before it writes the new ones.
const before = "before-compaction"

// endsFile tells where each partition ends, from before retention could remove all of its segments.
const endsFile = "ends.json"

// maintainEvery is how often topics are compacted and trimmed. Not at the start: records that waited for their readers while everything stood still get
// some time.
const maintainEvery = time.Hour

// maintain applies compaction and retention to all topics.
func maintain(dir string, cluster *kfake.Cluster) error {
	if err := keepFiles(dir); err != nil {
		return fmt.Errorf("prepare the compaction of the embedded broker's topics: %w", err)
	}
	cluster.Compact() // and retention
	if err := os.RemoveAll(filepath.Join(dir, before)); err != nil {
		return fmt.Errorf("end the compaction of the embedded broker's topics: %w", err)
	}
	return nil
}

// keepFiles links the segments of all partitions and notes where they end.
func keepFiles(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, before)); err != nil {
		return err
	}
	partitions, err := os.ReadDir(filepath.Join(dir, "partitions"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	ends, err := readEnds(dir)
	if err != nil {
		return err
	}
	known := map[string]int64{}
	for _, p := range partitions {
		from, to := filepath.Join(dir, "partitions", p.Name()), filepath.Join(dir, before, p.Name())
		end, err := endOffset(from)
		if err != nil {
			return err
		}
		known[p.Name()] = max(end, ends[p.Name()])
		if err := linkFiles(from, to); err != nil {
			return err
		}
	}
	b, err := json.Marshal(known)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, endsFile), b)
}

func linkFiles(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	bases, err := segments(from)
	if err != nil {
		return err
	}
	for _, base := range bases {
		// Without the index, which can be made anew.
		if err := os.Link(segmentPath(from, base), segmentPath(to, base)); err != nil {
			return err
		}
	}
	return nil
}

func readEnds(dir string) (map[string]int64, error) {
	ends := map[string]int64{}
	b, err := os.ReadFile(filepath.Join(dir, endsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return ends, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read where partitions ended: %w", err)
	}
	if err := json.Unmarshal(b, &ends); err != nil {
		return nil, fmt.Errorf("read where partitions ended: %w", err)
	}
	return ends, nil
}

// restoreCompactions puts back the files of each partition that a cut-off compaction left shorter than it was. Compaction keeps the last batch, and writes
// it last: a partition that reaches as far as before is complete, and may have grown since.
func restoreCompactions(dir string, log *slog.Logger) error {
	kept, err := os.ReadDir(filepath.Join(dir, before))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, k := range kept {
		from, to := filepath.Join(dir, before, k.Name()), filepath.Join(dir, "partitions", k.Name())
		was, err := endOffset(from)
		if err != nil {
			return err
		}
		is, err := endOffset(to)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the topic was deleted
		}
		if err != nil {
			return err
		}
		if is >= was {
			continue
		}
		log.Warn("the compaction of a partition was cut off: going back", "partition", k.Name(), "end", was, "left", is)
		if err := replaceFiles(from, to); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(dir, before))
}

// replaceFiles makes the segments of to those of from.
func replaceFiles(from, to string) error {
	bases, err := segments(to)
	if err != nil {
		return err
	}
	for _, base := range bases {
		if err := os.Remove(segmentPath(to, base)); err != nil {
			return err
		}
	}
	bases, err = segments(from)
	if err != nil {
		return err
	}
	for _, base := range bases {
		if err := os.Link(segmentPath(from, base), segmentPath(to, base)); err != nil {
			return err
		}
	}
	return nil
}
