package engine

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// openDriver connects clickhouse-go as the other parts of the system do.
func openDriver(t *testing.T, base string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{strings.TrimPrefix(base, "http://")}, Protocol: clickhouse.HTTP, Auth: clickhouse.Auth{Database: "default", Username: "default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestDriver(t *testing.T) {
	base := startShared(t)
	db := freshDatabase(t, base)
	conn := openDriver(t, base)
	ctx := t.Context()
	if err := conn.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	v, err := conn.ServerVersion()
	if err != nil || v.Version.Major < 26 || v.DisplayName != "embedded" || v.Revision != 0 || v.Timezone != time.UTC {
		t.Errorf("server %+v, %v", v, err)
	}
	for _, ddl := range []string{
		"CREATE TABLE " + db + ".t (id UInt64, name String, at DateTime64(6, 'UTC'), tags Array(LowCardinality(String)), kv Map(LowCardinality(String), String), level Enum8('low' = 0, 'high' = 1), note Nullable(String), ip IPv6, u UUID) ENGINE = MergeTree ORDER BY id",
		"INSERT INTO " + db + ".t SELECT number, concat('n', toString(number)), toDateTime64(number, 6, 'UTC'), ['a', 'b'], map('k', 'v'), 'high', if(number % 2 = 0, NULL, 'x'), '::ffff:1.2.3.4', toUUID('00000000-0000-0000-0000-000000000001') FROM numbers(100000)",
	} {
		if err := conn.Exec(ctx, ddl); err != nil {
			t.Fatal(err)
		}
	}
	var row struct {
		ID    uint64            `ch:"id"`
		Name  string            `ch:"name"`
		At    time.Time         `ch:"at"`
		Tags  []string          `ch:"tags"`
		KV    map[string]string `ch:"kv"`
		Level string            `ch:"level"`
		Note  *string           `ch:"note"`
	}
	err = conn.QueryRow(ctx, "SELECT id, name, at, tags, kv, level, note FROM "+db+".t WHERE id = {id:UInt64} AND name = {name:String}",
		clickhouse.Named("id", "7"), clickhouse.Named("name", "n7")).ScanStruct(&row)
	if err != nil || row.ID != 7 || row.Name != "n7" || !row.At.Equal(time.Unix(7, 0)) || !reflect.DeepEqual(row.Tags, []string{"a", "b"}) ||
		!reflect.DeepEqual(row.KV, map[string]string{"k": "v"}) || row.Level != "high" || row.Note == nil || *row.Note != "x" {
		t.Errorf("row %+v, %v", row, err)
	}
	// A result of many blocks, and an empty one.
	rows, err := conn.Query(ctx, "SELECT id, name FROM "+db+".t ORDER BY id SETTINGS max_block_size = 1000")
	if err != nil {
		t.Fatal(err)
	}
	var n, sum uint64
	for rows.Next() {
		var id uint64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			t.Fatal(err)
		}
		n, sum = n+1, sum+id
	}
	if err := rows.Err(); err != nil || n != 100000 || sum != 99999*100000/2 {
		t.Errorf("%d rows, sum %d, %v", n, sum, err)
	}
	rows.Close()
	if rows, err = conn.Query(ctx, "SELECT id FROM "+db+".t WHERE id > 1000000"); err != nil || rows.Next() || rows.Err() != nil {
		t.Errorf("empty result: %v", err)
	}
	rows.Close()
	if err := conn.InsertFormat(ctx, "JSONEachRow", "INSERT INTO "+db+".t", strings.NewReader(`{"id":2000000,"name":"json"}`)); err != nil {
		t.Error(err)
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+db+".t (id, name)")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := batch.Append(uint64(1_000_000+i), "batch"); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var count uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM "+db+".t").Scan(&count); err != nil || count != 100011 {
		t.Errorf("%d rows, %v", count, err)
	}
}

// TestDriverErrors: clickhouse-go turns errors of every kind into its Exception, early and in mid-stream.
func TestDriverErrors(t *testing.T) {
	conn := openDriver(t, startShared(t))
	ctx := t.Context()
	for _, tc := range []struct {
		name   string
		run    func() error
		code   int32
		status int
	}{
		{"table", func() error { return conn.Exec(ctx, "DROP TABLE nothing") }, 60, http.StatusNotFound},
		{"syntax", func() error { return conn.Exec(ctx, "CREATE NONSENSE") }, 62, http.StatusBadRequest},
		{"setting", func() error {
			return conn.Exec(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"nothing": 1})), "SELECT 1")
		}, 115, http.StatusNotFound},
		{"memory", func() error {
			return conn.Exec(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_memory_usage": 10_000_000})), "SELECT length(groupArray(number)) FROM numbers(10000000)")
		}, 241, http.StatusInternalServerError},
		{"mid-stream", func() error {
			rows, err := conn.Query(ctx, "SELECT number, throwIf(number = 3000000, 'broken') FROM numbers(4000000) SETTINGS max_threads = 1")
			if err != nil {
				return err
			}
			defer rows.Close()
			n := 0
			for rows.Next() {
				n++
			}
			if n == 0 {
				t.Error("no row came before the error")
			}
			return rows.Err()
		}, 395, 0},
		{"mid-stream, raw format", func() error {
			body, err := conn.QueryFormat(ctx, "CSV", "SELECT throwIf(number = 3000000, 'broken') FROM numbers(4000000) SETTINGS max_threads = 1")
			if err != nil {
				return err
			}
			defer body.Close()
			_, err = io.Copy(io.Discard, body)
			return err
		}, 395, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.run()
			var e *clickhouse.Exception
			if !errors.As(err, &e) || e.Code != tc.code {
				t.Fatalf("error %v, want an Exception with code %d", err, tc.code)
			}
			var h *clickhouse.HTTPError
			if errors.As(err, &h) != (tc.status != 0) || h != nil && h.StatusCode != tc.status {
				t.Errorf("status %+v, want %d", h, tc.status)
			}
		})
	}
}
