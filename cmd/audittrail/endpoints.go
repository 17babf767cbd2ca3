package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// endpoints are the addresses of a running `audittrail up`, as they stand in endpoints.json of its data folder.
type endpoints struct {
	API        string `json:"api"`
	Kafka      string `json:"kafka"`
	ClickHouse string `json:"clickhouse"`
}

func endpointsPath(data string) string { return filepath.Join(data, "endpoints.json") }

// write puts the file in place whole: whoever waits for it never reads half of it.
func (e endpoints) write(data string) error {
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	tmp := endpointsPath(data) + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the endpoints: %w", err)
	}
	return os.Rename(tmp, endpointsPath(data))
}

func removeEndpoints(data string) error {
	if err := os.Remove(endpointsPath(data)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the endpoints: %w", err)
	}
	return nil
}

func readEndpoints(data string) (endpoints, error) {
	var e endpoints
	b, err := os.ReadFile(endpointsPath(data))
	if errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("nothing runs on %s (no endpoints.json in it): start `audittrail up`, or give addresses (--help lists the flags)", data)
	}
	if err != nil {
		return e, fmt.Errorf("read the endpoints: %w", err)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("read the endpoints in %s: %w", endpointsPath(data), err)
	}
	return e, nil
}
