// Without deep links, whose anchors would lie within buttons: nothing that is operated may hold another such thing.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#api", deepLinking: false, validatorUrl: null, tryItOutEnabled: true });
