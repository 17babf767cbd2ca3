package main

import "context"

func (b *bench) costOfTables(ctx context.Context) error { return nil }
