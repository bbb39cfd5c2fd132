// Starts Swagger UI on our own description of the API.

const response = await fetch("/openapi.json", { cache: "no-store" });
const description = await response.json();
// This Swagger UI knows OpenAPI 3.0 only, and refuses 3.1 by its number. What ours has of 3.1 it shows well enough.
globalThis.SwaggerUIBundle({
    spec: { ...description, openapi: "3.0.3" },
    dom_id: "#swagger",
    docExpansion: "list",
    deepLinking: true,
    // By default it sends the description to a server of its maker, to have it checked.
    validatorUrl: null,
});
