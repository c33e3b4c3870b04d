// What the examples are told by the environment.

export function setting(name: string, otherwise?: string): string {
  const value = process.env[name] ?? otherwise;
  if (value === undefined) {
    console.error(`${name} is not set; the README says what it is`);
    process.exit(2);
  }
  return value;
}
