// Package clickhouse is how every part reaches ClickHouse, over HTTP only, so that an embedded engine, a server and a cluster are reached alike:
// queries and DDL through clickhouse-go, inserts as one Native block posted as it is, migrations, and the classes of ClickHouse's errors.
//
// It knows no table: the statements are its callers'.
package clickhouse
